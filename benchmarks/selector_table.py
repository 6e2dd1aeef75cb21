"""Measures which selectors find what the probe needs: accuracy at k selected blocks, in the embedded engine.

    python benchmarks/selector_table.py [--presets multikey-1k-full,chain-30] [--count 100]

The samples are those of the probe's published table (a running generator of seed 77). A cell that is already in
the results is not measured again, so it can be stopped and re-issued. It ends by writing the table of docs/probe.md.
"""
import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from machine import RESULTS, machine
from selector_page import write_page

from evaluator import statistics
from evaluator.tasks.chain import share_before_mistake
from evaluator.tasks.registry import PRESETS, Preset
from evaluator.tasks.task import Sample, spoken
from vortex import flows
from vortex.compiler.front import load
from vortex.config import OperatingPoint
from vortex.serving import make_engine
from vortex.serving.engine import Engine, Request

SEED = 77
SELECTORS = ("random", "recent", "centroid", "quest", "oracle", "oracle-peak")
TABLE = RESULTS / "selector_table.json"
PAGES = (2, 4, 8, 16)
FIRST = ("multikey-1k-full", "multiquery-1k", "vt-1k-4hop", "chain-30", "multikey-2k-half", "vt-2k-4hop")


def published_samples(preset: Preset, count: int) -> list[Sample]:
    """The first samples of the published table's set."""
    rng = np.random.default_rng(SEED)
    return [preset.task.sample(f"{preset.name}/{index}", rng, **preset.settings) for index in range(count)]


def point(pages: int) -> OperatingPoint:
    """The published setting: blocks of 16 tokens, the first and the last two kept, layer 0 dense."""
    return OperatingPoint(topk_val=pages, topk_ratio=0.0, block_reserved_bos=1, block_reserved_eos=2, layers_skip=(0,),
                          block_size=16)


def use(engine: Engine, selector: str, pages: int) -> None:
    """Puts a selector, or dense decoding, into the engine."""
    if selector == "dense":
        engine.use(None, point(pages))
        return
    _, text, path = flows.read(selector)
    engine.use(load(text, path, engine.geometry(point(pages).block_size)), point(pages))


def answers(engine: Engine, samples: Sequence[Sample], label: str) -> Iterator[tuple[Sample, str]]:
    """What the engine says to each sample, as it comes."""
    by_id = {sample.id: sample for sample in samples}
    encode = engine.tokenizer.encode
    requests = [Request(id=s.id, tokens=tuple(encode(s.prompt)), max_new_tokens=s.max_new_tokens) for s in samples]
    for done, completion in enumerate(engine.generate(requests), 1):
        if sys.stderr.isatty():
            print(f"\r{label}  {done}/{len(samples)} ", end="", file=sys.stderr, flush=True)
        yield by_id[completion.id], engine.tokenizer.decode(completion.tokens)


def figure(values: Sequence[float]) -> list[float]:
    """Mean, and both ends of its 95 % interval."""
    estimate = statistics.mean(values)
    return [round(value, 4) for value in (estimate.value, estimate.low, estimate.high)]


def measure(engine: Engine, preset: Preset, samples: Sequence[Sample], label: str) -> dict[str, Any]:
    """One cell, with the selector that is in the engine."""
    started_s = time.monotonic()
    said = sorted(answers(engine, samples, label), key=lambda pair: pair[0].id)
    grades = [preset.grade(sample, text) for sample, text in said]
    cell: dict[str, Any] = {"count": len(said), "exact": figure([grade.exact for grade in grades]),
                            "score": figure([grade.score for grade in grades])}
    if preset.task.name == "chain":
        shares = [share_before_mistake(tuple(sample.answer.split()), spoken(text)) for sample, text in said]
        cell["before_mistake"] = figure(shares)
    cell["seconds"] = round(time.monotonic() - started_s, 1)
    return cell


def planned(presets: Sequence[str], pages: Sequence[int],
            selectors: Sequence[str] = SELECTORS) -> Iterator[tuple[str, str, int]]:
    """(preset, selector, pages) in the order of work: all dense cells stand first."""
    yield from ((name, "dense", 0) for name in presets)
    yield from ((name, selector, k) for name in presets for k in pages for selector in selectors)


def cell_name(selector: str, pages: int) -> str:
    """The key of a cell in the results and in the published table."""
    return f"{selector} {pages}" if pages else selector


def run(engine: Engine, plan: Iterator[tuple[str, str, int]], counts: Mapping[str, int], path: Path) -> dict[str, Any]:
    """Measures what is planned and not yet in `path`, which is written after every cell."""
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"cells": {}}
    for name, selector, pages in plan:
        key = cell_name(selector, pages)
        if results["cells"].get(name, {}).get(key, {}).get("count", 0) >= counts[name]:
            continue
        use(engine, selector, pages)
        cell = measure(engine, PRESETS[name], published_samples(PRESETS[name], counts[name]), f"{name} {key}")
        results["cells"].setdefault(name, {})[key] = cell
        results["machine"] = machine(1)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(results, indent=1) + "\n")
        part.replace(path)
        figures = f"exact {cell['exact'][0]:.3f}  score {cell['score'][0]:.3f}  {cell['seconds']:.0f} s"
        print(f"{name:18s} {key:14s} {figures}", file=sys.stderr, flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the probe's table of selectors.")
    parser.add_argument("--presets", default=",".join(dict.fromkeys((*FIRST, *PRESETS))))
    parser.add_argument("--pages", default=",".join(map(str, PAGES)), help="selected blocks, beside the three kept")
    parser.add_argument("--selectors", default=",".join(SELECTORS), help="beside dense, which is always measured")
    parser.add_argument("--model", default="probe", help="the shipped probe, or a folder of one that was trained")
    parser.add_argument("--count", type=int, help="samples a cell (default: as many as were published)")
    parser.add_argument("--out", type=Path, default=TABLE, help="any other file than this leaves docs/probe.md alone")
    args = parser.parse_args()
    if args.out == TABLE and args.model != "probe":
        parser.error("the table is the shipped probe's: give another --out for another model")
    names = args.presets.split(",")
    published = json.loads((RESULTS / "probe_published.json").read_text())
    counts = {name: args.count or published.get(name, {"count": 100})["count"] for name in names}
    engine = make_engine("embedded")
    engine.start(args.model)
    try:
        plan = planned(names, [int(k) for k in args.pages.split(",")], args.selectors.split(","))
        run(engine, plan, counts, args.out)
    finally:
        engine.stop()
    if args.out == TABLE:
        write_page(TABLE)


if __name__ == "__main__":
    main()
