"""Walks over the grid of models, batches and contexts, point by point; what was measured is written after each."""
import argparse
import time
from collections.abc import Sequence
from typing import Any

import torch
import triton
from kernels_cases import Case, Clock, Row, dense_case, flow_cases, ragged_case, rows_of
from kernels_check import check
from kernels_clock import DryClock, GraphClock
from kernels_plots import plot
from kernels_report import fused_gain, table, verdicts
from kernels_scene import FEATURED, Data, Scene, Size, fits, flow_graph, flow_point, make_data, size_of_device
from machine import record

from vortex.compiler.chips import find_chip, recognised
from vortex.compiler.roofline import REALISTIC, Fallback, Roofline
from vortex.compiler.shapes import MODELS, ModelSizes
from vortex.config import OperatingPoint
from vortex.flows import names

# 32 blocks, 512 tokens: 29 by score and 3 reserved ones.
POINT = OperatingPoint(block_size=16, topk_val=29, topk_ratio=0.0, dtype="bfloat16")
RAGGED = ((16, 32768), (64, 16384))


class Walk:
    """Gathers rows. Layers of models that look alike (qwen3-4b and -8b) are timed once."""

    def __init__(self, clock: Clock, bandwidth: float, size: Size, *, flows: Sequence[str], rivals: bool) -> None:
        self.clock, self.bandwidth, self.size = clock, bandwidth, size
        self.flows, self.rivals = flows, rivals
        self.rows: list[Row] = []
        self._rules: dict[tuple[str, str], Fallback] = {}

    def point(self, model: ModelSizes, batch: int, context: int, point: OperatingPoint = POINT, ragged: bool = False) -> None:
        print(f"{model.name}, batch {batch}, context {context}", flush=True)
        data = make_data(model, batch, context, point, self.size)
        dense = Scene(data, None)
        self._time(dense_case(data, dense, self.rivals), data)
        for flow in self.flows:
            for case in flow_cases(data, flow, dense, self.rivals):
                self._time(case, data, **({"dense_by_rule": self._by_rule(flow, data)} if case.part == "block" else {}))
        if ragged:
            self._time(ragged_case(data, self.flows[0]), data)

    def _time(self, case: Case, data: Data, **notes: Any) -> None:
        found = [{**row, **notes} for row in rows_of(case, data, self.clock, self.bandwidth)]
        self.rows += found
        for line in table(found):
            print(line, flush=True)

    def _by_rule(self, flow: str, data: Data) -> bool:
        """Would the break-even rule decode such a step densely?"""
        model, key = data.model, (flow, data.model.name)
        if key not in self._rules:
            chip = (recognised(torch.cuda.get_device_name()) if data.tables.is_cuda else None) or find_chip("h200")
            self._rules[key] = Fallback(Roofline(model=model, chip=chip, assumptions=REALISTIC),
                                        flow_graph(flow, model, data.point), flow_point(flow, data.point))
        return self._rules[key].dense_is_faster(data.batch, data.context)


def dry_run() -> int:
    """1 where a kernel is wrong."""
    if check(("centroid",), head_dim=32, group=2, lens=(1, 200), say=print):
        return 1
    tiny = ModelSizes(name="tiny", layers=2, hidden=64, intermediate=64, heads=4, kv_heads=2, head_dim=32, vocabulary=64)
    size = Size(memory=1 << 30, cache=0, dtype=torch.float32, device="cpu")
    walk = Walk(DryClock(), 0.0, size, flows=("centroid",), rivals=True)
    walk.point(tiny, 2, 96, POINT.with_(topk_val=1, dtype="float32"), ragged=True)
    told(walk)
    return 0


def measured(options: argparse.Namespace) -> int:
    """1 where a kernel is wrong, or a target is missed and asked for."""
    began = time.monotonic()
    if not options.no_check and check(names(), head_dim=128, group=4, lens=(1, 700, 1500), say=print):
        return 1
    clock, size = GraphClock(options.rounds), size_of_device()
    bandwidth = clock.bandwidth()
    print(f"{torch.cuda.get_device_name()}: copies at {bandwidth / 1e9:.0f} GB/s")
    walk, left = Walk(clock, bandwidth, size, flows=options.flows, rivals=not options.no_rivals), []
    models, alike = distinct([MODELS[name] for name in options.models])
    for batch, context in grid(options):
        for model in models:
            if not fits(model, batch, context, size) or time.monotonic() - began > options.seconds:
                left.append([model.name, batch, context])
                continue
            walk.point(model, batch, context, ragged=(batch, context) in RAGGED)
            torch.cuda.empty_cache()
            keep(walk, options, {"alike": alike, "left_out": left})
    missed = told(walk)
    keep(walk, options, {"alike": alike, "left_out": left})
    for path in plot(walk.rows, options.out, torch.cuda.get_device_name()):
        print(path)
    return 1 if missed and options.strict else 0


def distinct(models: Sequence[ModelSizes]) -> tuple[list[ModelSizes], dict[str, str]]:
    """Models whose layers differ in attention, and the names of others by the one that stands for them."""
    found: dict[tuple[int, int, int], ModelSizes] = {}
    alike = {}
    for model in models:
        stands = found.setdefault((model.heads, model.kv_heads, model.head_dim), model)
        if stands is not model:
            alike[model.name] = stands.name
    return list(found.values()), alike


def grid(options: argparse.Namespace) -> list[tuple[int, int]]:
    asked = [(batch, context) for batch in options.batches for context in options.contexts]
    return [point for point in FEATURED if point in asked] + [point for point in asked if point not in FEATURED]


def keep(walk: Walk, options: argparse.Namespace, more: dict[str, Any]) -> None:
    """Written after every point: what was measured outlives what comes after it."""
    found = [{"target": v.target, "met": v.met, "told": v.told} for v in verdicts(walk.rows, walk.bandwidth)]
    record("kernels", torch.get_num_threads(), {
        "device": torch.cuda.get_device_name(), "cuda": torch.version.cuda, "triton": triton.__version__,
        "copy_gb_s": walk.bandwidth / 1e9, "rounds": options.rounds, **more, "targets": found,
        "apart_over_one_launch": fused_gain(walk.rows), "rows": walk.rows}, options.out)


def told(walk: Walk) -> int:
    """Prints the targets; how many were missed."""
    found = verdicts(walk.rows, walk.bandwidth)
    for verdict in found:
        print(verdict.line)
    return sum(verdict.met is False for verdict in found)
