"""Every flow of the corpus at every group, block and page size, and random flows, against the oracle; records what agreed."""
import argparse
import sys
import time
from pathlib import Path

import torch
from machine import record

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.compiler.duel import Duel
from tests.compiler.grid import FULL, Cell, duel_of, random_duel
from tests.oracle.corpus import ENTRIES, Entry


def differences(entry: Entry, cells: list[Cell], steps: int) -> tuple[int, list[str]]:
    """Rows that were selected and compared, and the cells in which something differed."""
    rows, wrong = 0, []
    for cell in cells:
        duel = duel_of(entry, cell)
        wrong += fought(duel, steps, str(cell))
        rows += duel.selected
    return rows, wrong


def random_differences(count: int, steps: int) -> tuple[int, list[str]]:
    rows, wrong = 0, []
    for seed in range(count):
        duel = random_duel(seed)
        wrong += fought(duel, steps, f"seed {seed}")
        rows += duel.selected
    return rows, wrong


def fought(duel: Duel, steps: int, place: str) -> list[str]:
    """What differed first, if anything did."""
    try:
        for _ in range(steps):
            duel.step()
            duel.grow()
    except AssertionError as error:
        return [f"{place}: {str(error).strip()[:300]}"]
    return []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--only", default="", help="part of a flow's name")
    parser.add_argument("--random", type=int, default=1000, help="random flows")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start, flows = time.perf_counter(), {}
    for entry in ENTRIES:
        if options.only in entry.name:
            rows, wrong = differences(entry, FULL, options.steps)
            flows[entry.name] = {"selected_rows": rows, "wrong": wrong}
            print(f"{entry.name:45s} {rows:7,} rows, {len(wrong)} of {len(FULL)} sizes differ", *wrong[:3], sep="\n  ")
    if not options.only:
        rows, wrong = random_differences(options.random, options.steps)
        print(f"{options.random} random flows: {rows:,} rows, {len(wrong)} flows differ", *wrong[:3], sep="\n  ")
        figures = {"sizes": [str(cell) for cell in FULL], "steps": options.steps, "flows": flows,
                   "random": {"flows": options.random, "selected_rows": rows, "wrong": wrong},
                   "seconds": round(time.perf_counter() - start)}
        print(record("oracle_grid", 1, figures))
    if any(flow["wrong"] for flow in flows.values()) or (not options.only and wrong):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
