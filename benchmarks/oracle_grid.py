"""Every flow of the corpus against the oracle at every group, block and page size; records what agreed."""
import argparse
import sys
import time
from pathlib import Path

import torch
from machine import record

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.compiler.grid import FULL, Cell, duel_of
from tests.oracle.corpus import ENTRIES, Entry


def differences(entry: Entry, cells: list[Cell], steps: int) -> tuple[int, list[str]]:
    """Rows that were selected and compared, and the cells in which something differed."""
    rows, wrong = 0, []
    for cell in cells:
        duel = duel_of(entry, cell)
        try:
            for _ in range(steps):
                duel.step()
                duel.grow()
        except AssertionError as error:
            wrong.append(f"{cell}: {str(error).strip()[:300]}")
        rows += duel.selected
    return rows, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--only", default="", help="part of a flow's name")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start, flows = time.perf_counter(), {}
    for entry in ENTRIES:
        if options.only in entry.name:
            rows, wrong = differences(entry, FULL, options.steps)
            flows[entry.name] = {"selected_rows": rows, "wrong": wrong}
            print(f"{entry.name:45s} {rows:7,} rows, {len(wrong)} of {len(FULL)} sizes differ", *wrong[:3], sep="\n  ")
    seconds = time.perf_counter() - start
    if not options.only:
        figures = {"sizes": [str(cell) for cell in FULL], "steps": options.steps, "seconds": round(seconds), "flows": flows}
        print(record("oracle_grid", 1, figures))
    if any(flow["wrong"] for flow in flows.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
