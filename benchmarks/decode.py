"""Decode steps of the embedded engine: sparse against dense, and dense against torch's and transformers' own best.

    python benchmarks/decode.py [--contexts 8192 16384] [--batch 8] [--rounds 5] [--steps 18] [--json] [--out FOLDER]
    python benchmarks/decode.py --gpu [...]          # whole steps on a GPU, in CUDA graphs: see decode_gpu.py
"""
import argparse
import itertools
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import decode_gpu
import torch
import torch.nn.functional as functional
from machine import RESULTS, machine, record
from transformers import AutoModelForCausalLM, DynamicCache, GenerationConfig, StoppingCriteria

from vortex.compiler.cpu import CpuProgram, dense_graph
from vortex.compiler.front import load
from vortex.config import OperatingPoint
from vortex.flows import read
from vortex.serving.checkpoint import find_checkpoint, quiet
from vortex.serving.embedded.engine import EmbeddedEngine

FLOWS = ("centroid", "quest")
CONTEXTS = (8192, 16384)
GPU_CONTEXTS = tuple(1 << n for n in range(12, 18))
BLOCK = 16
WARM_STEPS = 2
POINT = OperatingPoint(block_size=BLOCK, topk_ratio=1 / 16)
Times = dict[str, list[float]]


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Median and quartiles in milliseconds."""
    low, middle, high = statistics.quantiles(seconds, n=4)
    return {"median_ms": 1e3 * middle, "low_ms": 1e3 * low, "high_ms": 1e3 * high}


def ratio(above: Sequence[float], below: Sequence[float]) -> dict[str, float]:
    """Of neighbouring rounds: what slows the machine for a while slows both."""
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    return {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}


def engine_steps(engine: EmbeddedEngine, batch: int, context: int, rounds: int, steps: int) -> Times:
    """The median step of each round, dense and sparse in turn on one filled context."""
    geometry = engine.geometry(BLOCK)
    graphs = {"dense": None, **{name: load(*read(name)[1:], geometry) for name in FLOWS}}
    found: Times = {name: [] for name in graphs}
    for _ in range(rounds):
        for name, graph in graphs.items():
            engine.use(graph, POINT)
            times = engine.forced_decode(batch, context, steps + WARM_STEPS)
            found[name].append(statistics.median(times.seconds[WARM_STEPS:]))
    return found


class Clock(StoppingCriteria):
    """Notes when each token of transformers' generate is there; never stops it."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: object) -> torch.Tensor:
        self.at.append(time.perf_counter())
        return torch.zeros(input_ids.shape[0], dtype=torch.bool)


def transformers_steps(batch: int, context: int, rounds: int, steps: int) -> list[float]:
    """The median step of each round of transformers' own greedy generate, on a cache of `context` random tokens."""
    checkpoint = find_checkpoint("probe")
    with quiet():
        model = AutoModelForCausalLM.from_pretrained(checkpoint.path, dtype=torch.float32)
    greedy = GenerationConfig(do_sample=False, max_new_tokens=steps + WARM_STEPS + 1, pad_token_id=0)
    model.generation_config = greedy
    shape = (batch, checkpoint.shape.kv_heads, context, checkpoint.shape.head_dim)
    found = []
    for _ in range(rounds):
        cache = DynamicCache(config=model.config)
        for layer in range(checkpoint.shape.layers):
            cache.update(torch.randn(shape), torch.randn(shape), layer)
        clock = Clock()
        with quiet():
            model.generate(torch.full((batch, context + 1), 5), past_key_values=cache, generation_config=greedy,
                           stopping_criteria=[clock])
        marks = clock.at[WARM_STEPS:]
        found.append(statistics.median(b - a for a, b in itertools.pairwise(marks)))
    return found


@torch.inference_mode()
def attention_times(engine: EmbeddedEngine, batch: int, context: int, rounds: int) -> Times:
    """Dense attention of one layer alone: the Program on pool blocks, and torch's forms over contiguous K and V.

    Each call reads another layer's numbers, so that none finds them in a cache.
    """
    geometry, layers, heads = engine.geometry(BLOCK), 4, 2
    per_request = context // BLOCK
    pools = torch.randn(2, layers, heads, batch * per_request + 1, BLOCK, geometry.head_dim)
    flat = torch.randn(2, layers, batch, heads, context, geometry.head_dim)
    q, group = torch.randn(batch, heads, geometry.group, geometry.head_dim), geometry.group
    program = CpuProgram(dense_graph(geometry), POINT)
    tables = 1 + torch.arange(batch * per_request).view(batch, per_request)
    plan, scale = program.plan([context] * batch, tables, range(batch)), geometry.head_dim ** -0.5

    def gqa(k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return functional.scaled_dot_product_attention(q.flatten(1, 2)[:, :, None], k, v, enable_gqa=True)

    def repeated(k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return functional.scaled_dot_product_attention(
            q.flatten(1, 2)[:, :, None], k.repeat_interleave(group, 1), v.repeat_interleave(group, 1))

    forms: Mapping[str, Callable[[int], torch.Tensor]] = {
        "engine": lambda i: program.attend(plan, q, pools[0, i], pools[1, i], None, scale),
        "torch folded": lambda i: functional.scaled_dot_product_attention(q, flat[0, i], flat[1, i]),
        "torch enable_gqa": lambda i: gqa(flat[0, i], flat[1, i]),
        "torch repeated": lambda i: repeated(flat[0, i], flat[1, i]),
        "torch matmul-softmax": lambda i: torch.softmax(q @ flat[0, i].mT * scale, dim=-1) @ flat[1, i],
    }
    found: Times = {name: [] for name in forms}
    for turn in range(rounds * layers + layers):
        # Each form comes first as often as any other.
        order = [*forms][turn % len(forms):] + [*forms][:turn % len(forms)]
        for name in order:
            began = time.perf_counter()
            forms[name](turn % layers)
            if turn >= layers:
                found[name].append(time.perf_counter() - began)
    return found


def measure(context: int, options: argparse.Namespace) -> dict[str, Any]:
    """All figures of one context, and what they are to reach."""
    load = os.getloadavg()[0]             # above 0.5 the figures are those of a busy machine
    engine = EmbeddedEngine(device="cpu")
    engine.start("probe")
    steps = engine_steps(engine, options.batch, context, options.rounds, options.steps)
    engine.forced_decode(1, 1, 1)         # lets the filled context go
    alone = attention_times(engine, options.batch, context, options.rounds)
    own = transformers_steps(options.batch, context, options.rounds, options.steps)
    best = min((name for name in alone if name != "engine"), key=lambda name: statistics.median(alone[name]))
    return {
        "context": context, "batch": options.batch, "load_before": load,
        "step": {**{name: summary(times) for name, times in steps.items()}, "transformers": summary(own)},
        "speedup": {name: ratio(steps["dense"], steps[name]) for name in FLOWS},
        "dense_attention": {name: summary(times) for name, times in alone.items()},
        "dense_attention_over_best": {"best": best, **ratio(alone["engine"], alone[best])},
        "dense_step_over_transformers": ratio(steps["dense"], own),
    }


def show(figures: Mapping[str, Any]) -> None:
    print(f"context {figures['context']}, batch {figures['batch']}, one thread, load {figures['load_before']:.1f} before")
    for name, times in figures["step"].items():
        speed = figures["speedup"].get(name)
        note = f"   {speed['median']:.2f}x dense ({speed['low']:.2f} to {speed['high']:.2f})" if speed else ""
        print(f"  step {name:14} {times['median_ms']:8.2f} ms ({times['low_ms']:.2f} to {times['high_ms']:.2f}){note}")
    for name, times in figures["dense_attention"].items():
        print(f"  attention {name:21} {times['median_ms']:8.2f} ms ({times['low_ms']:.2f} to {times['high_ms']:.2f})")
    over, own = figures["dense_attention_over_best"], figures["dense_step_over_transformers"]
    print(f"  dense attention {over['median']:.2f} times {over['best']}, dense step {own['median']:.2f} times transformers'")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contexts", type=int, nargs="+")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5, help="2 or more")
    parser.add_argument("--steps", type=int, default=18, help="timed steps a round")
    parser.add_argument("--json", action="store_true", help="print the record instead of a table")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the record")
    decode_gpu.add_options(parser)
    options = parser.parse_args()
    if options.gpu or options.dry_run:
        raise SystemExit(decode_gpu.run(options, options.contexts or GPU_CONTEXTS))
    torch.set_num_threads(1)
    results = [measure(context, options) for context in options.contexts or CONTEXTS]
    if options.json:
        print(json.dumps({"machine": machine(1), "results": results}, indent=1))
    else:
        for figures in results:
            show(figures)
    record("decode", 1, results, options.out)


if __name__ == "__main__":
    main()
