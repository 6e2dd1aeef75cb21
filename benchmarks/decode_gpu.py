"""Whole decode steps on a GPU: flows against dense, both replayed as CUDA graphs, on models of made-up weights.

    python benchmarks/decode.py --gpu [--models qwen3-1.7b] [--batches 1 8 32] [--contexts 4096 16384] [--flows centroid quest]
    python benchmarks/decode.py --gpu --dry-run      # the same way on a CPU: a tiny model, kernels interpreted, no times kept
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from decode_plot import plot
from machine import machine

from vortex.compiler.chips import CHIPS, recognised
from vortex.compiler.front import load
from vortex.compiler.program import Program
from vortex.compiler.roofline import Roofline
from vortex.compiler.shapes import MODELS, ModelSizes
from vortex.config import OperatingPoint
from vortex.flows import read
from vortex.ir import Graph
from vortex.serving.embedded.engine import LEAST_ROOM, EmbeddedEngine
from vortex.serving.embedded.graphed import Repeated
from vortex.serving.embedded.random_model import random_model

NAME = "decode_gpu"
DENSE = "dense"
WARM_STEPS = 2
MEMORY_SHARE = 0.9                        # the rest is for activations, worklists and what libraries take
TINY = ModelSizes(name="tiny", layers=2, hidden=24, intermediate=40, heads=2, kv_heads=1, head_dim=16, vocabulary=90)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured. `steps` are timed a round; blocks are of `block` tokens, `chosen` of them taken beside three."""

    models: tuple[ModelSizes, ...]
    batches: tuple[int, ...]
    contexts: tuple[int, ...]
    flows: tuple[str, ...]
    rounds: int
    steps: int
    block: int
    chosen: int
    dry: bool = False

    def point(self, sizes: ModelSizes) -> OperatingPoint:
        return OperatingPoint(model=sizes.name, block_size=self.block, topk_val=self.chosen, topk_ratio=0.0, dtype="bfloat16")

    def graphs(self, sizes: ModelSizes) -> dict[str, Graph | None]:
        geometry = sizes.geometry(self.block)
        return {DENSE: None, **{name: load(*read(name)[1:], geometry) for name in self.flows}}


def dry(plan: Plan) -> Plan:
    return Plan(models=(TINY,), batches=(1, 2), contexts=(70,), flows=plan.flows[:1], rounds=2, steps=1, block=16, chosen=1,
                dry=True)


def card() -> dict[str, Any]:
    """What the machine says of its GPU and the driver."""
    if not torch.cuda.is_available():
        return {}
    query = "driver_version,clocks.max.sm,clocks.max.memory,power.limit"
    told = subprocess.run(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader", "-i", "0"], capture_output=True,
                          text=True, check=False).stdout.strip()
    return {"gpu": torch.cuda.get_device_name(), "memory_bytes": torch.cuda.mem_get_info()[1], "cuda": torch.version.cuda,
            "triton": version("triton"), **dict(zip(query.split(","), told.split(", "), strict=False))}


def make_engine(sizes: ModelSizes, plan: Plan) -> EmbeddedEngine:
    from vortex.compiler.kernels.program import TritonProgram  # after TRITON_INTERPRET is settled

    device = "cpu" if plan.dry else "cuda"

    def kernels(graph: Graph, point: OperatingPoint) -> Program:
        return TritonProgram(graph, point, device)

    engine = EmbeddedEngine(device, graphs=Repeated() if plan.dry else None, compiler=kernels)
    engine.start_with(*random_model(sizes, torch.device(device), torch.float32 if plan.dry else torch.bfloat16))
    return engine


def step_times(engine: EmbeddedEngine, plan: Plan, graphs: Mapping[str, Graph | None], point: OperatingPoint, batch: int,
               context: int) -> dict[str, list[float]]:
    """The median step of each round, all sides in turn on one filled context; who comes first takes turns too."""
    found: dict[str, list[float]] = {name: [] for name in graphs}
    for turn in range(plan.rounds + 1):
        at = turn % len(graphs)
        for name in [*graphs][at:] + [*graphs][:at]:
            engine.use(graphs[name], point)
            times = engine.forced_decode(batch, context, plan.steps + WARM_STEPS)
            if turn:                      # in the first round kernels are built and steps captured
                found[name].append(statistics.median(times.seconds[WARM_STEPS:]))
    return found


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Median and quartiles in milliseconds."""
    low, middle, high = statistics.quantiles(seconds, n=4)
    return {"median_ms": 1e3 * middle, "low_ms": 1e3 * low, "high_ms": 1e3 * high}


def ratio(above: Sequence[float], below: Sequence[float]) -> dict[str, float]:
    """Of the same rounds: what slows the machine for a while slows both."""
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    return {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}


def needed_bytes(sizes: ModelSizes, graphs: Mapping[str, Graph | None], point: OperatingPoint, batch: int, context: int) -> float:
    """Weights and KV once, and the summaries of all flows, which are kept from round to round."""
    roofline = Roofline(model=sizes, chip=CHIPS["h200"])
    whole = [roofline.memory_bytes(graph, point, batch, context + LEAST_ROOM) for graph in graphs.values()]
    return whole[0] + sum(one - whole[0] for one in whole[1:])


def measure(engine: EmbeddedEngine, plan: Plan, sizes: ModelSizes, batch: int, context: int) -> dict[str, Any]:
    """One cell: times, speed-ups, and beside them what arithmetic allows on this chip."""
    graphs, point = plan.graphs(sizes), plan.point(sizes)
    cell: dict[str, Any] = {"model": sizes.name, "batch": batch, "context": context}
    there, needed = card().get("memory_bytes"), needed_bytes(sizes, graphs, point, batch, context)
    if there is not None and needed > MEMORY_SHARE * there:
        return cell | {"skipped": f"needs {needed / 1e9:.0f} GB, and the GPU has {there / 1e9:.0f}"}
    try:
        times = step_times(engine, plan, graphs, point, batch, context)
    except torch.OutOfMemoryError:
        engine.forced_decode(1, 1, 1)     # lets the filled context go
        torch.cuda.empty_cache()
        return cell | {"skipped": "ran out of memory"}
    if plan.dry:
        return cell | {"ran": [*times]}   # what an interpreter takes says nothing of a GPU
    cell["step"] = {name: spread(own) for name, own in times.items()}
    cell["speedup"] = {name: ratio(times[DENSE], times[name]) for name in plan.flows}
    chip = recognised(str(card().get("gpu", "")))
    if chip is not None:
        roofline = Roofline(model=sizes, chip=chip)
        cell["roofline_ms"] = {name: 1e3 * roofline.step_s(graph, point, batch, context) for name, graph in graphs.items()}
    return cell


def cells(plan: Plan) -> Iterator[dict[str, Any]]:
    for sizes in plan.models:
        engine = make_engine(sizes, plan)
        for batch in plan.batches:
            for context in plan.contexts:
                yield measure(engine, plan, sizes, batch, context)
        engine.stop()
        if not plan.dry:
            torch.cuda.empty_cache()


def show(cell: Mapping[str, Any]) -> None:
    place = f"{cell['model']:11} batch {cell['batch']:3} context {cell['context']:6}"
    if "skipped" in cell:
        print(f"{place}  skipped: {cell['skipped']}", flush=True)
        return
    if "ran" in cell:
        print(f"{place}  ran, interpreted: {', '.join(cell['ran'])}", flush=True)
    for name, times in cell.get("step", {}).items():
        speed, best = cell["speedup"].get(name), cell.get("roofline_ms", {}).get(name)
        note = f"   {speed['median']:.2f}x dense ({speed['low']:.2f} to {speed['high']:.2f})" if speed else ""
        least = f"   at least {best:.2f}" if best else ""
        print(f"{place}  {name:10} {times['median_ms']:8.3f} ms ({times['low_ms']:.3f} to {times['high_ms']:.3f}){least}{note}",
              flush=True)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--gpu", action="store_true", help="whole steps on a GPU, on models of made-up weights")
    parser.add_argument("--dry-run", action="store_true", help="with --gpu: a tiny model on a CPU, kernels interpreted")
    parser.add_argument("--models", nargs="+", choices=[m for m in MODELS if m.startswith("qwen3")],
                        default=["qwen3-1.7b", "qwen3-4b", "qwen3-8b"], help="with --gpu")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 16, 32, 64, 128], help="with --gpu")
    parser.add_argument("--flows", nargs="+", default=["centroid", "quest"], help="with --gpu: up to three")
    parser.add_argument("--chosen", type=int, default=29, help="with --gpu: blocks taken by score, beside three reserved")


def run(options: argparse.Namespace, contexts: Sequence[int]) -> int:
    """The exit status: 2 where there is no GPU."""
    if not options.dry_run and not torch.cuda.is_available():
        print("benchmarks/decode.py --gpu: there is no CUDA device here", file=sys.stderr)
        return 2
    if options.dry_run and os.environ.get("TRITON_INTERPRET") != "1":
        # Triton decides when it is first imported.
        return subprocess.run([sys.executable, *sys.argv], env={**os.environ, "TRITON_INTERPRET": "1"}, check=False).returncode
    plan = Plan(models=tuple(MODELS[name] for name in options.models), batches=tuple(options.batches), contexts=tuple(contexts),
                flows=tuple(options.flows[:3]), rounds=options.rounds, steps=options.steps, block=16, chosen=options.chosen)
    plan = dry(plan) if options.dry_run else plan
    results = []
    for cell in cells(plan):
        results.append(cell)
        if not plan.dry:
            write(results, plan, options.out)         # a run that is cut off keeps what it has
        if not options.json:
            show(cell)
    if options.json:
        print(json.dumps(told(results, plan), indent=1))
    return 0


def told(results: Sequence[Mapping[str, Any]], plan: Plan) -> dict[str, Any]:
    setting = {"rounds": plan.rounds, "steps": plan.steps, "block_size": plan.block, "chosen_blocks": plan.chosen,
               "weights": "made up, bfloat16", "graphs": "CUDA graphs on both sides", "dry_run": plan.dry}
    return {"machine": machine(torch.get_num_threads()) | card(), "setting": setting, "results": list(results)}


def write(results: Sequence[Mapping[str, Any]], plan: Plan, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{NAME}.json").write_text(json.dumps(told(results, plan), indent=1) + "\n")
    plot(results, folder / f"{NAME}.png")
