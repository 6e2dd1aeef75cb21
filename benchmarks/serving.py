"""Decode in SGLang, end to end: flows against SGLang's own fastest dense backend, on models of made-up weights.

    python benchmarks/serving.py [--models qwen3-1.7b] [--chosen 29 125] [--output 16384] [--flows centroid quest]
    python benchmarks/serving.py --dry-run          # the same way on a CPU: a tiny model; no figure is kept

Needs a GPU and a Python with SGLang (benchmarks/gpu_environment.py brings one where no package index reaches). First tokens
with every block kept must equal stock SGLang's on the probe model, in float32; else nothing is timed. Then each model: every
dense backend that starts is tried at a short shape, the fastest is the rival. Turns: rival, dense and flows in one engine of
ours (swapped), rival again. Throughput is of the whole engine, its scheduler and sampler included, prompts in the prefix cache.
"""
import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from decode_gpu import TINY, card
from machine import RESULTS, machine
from serving_engines import OURS, Running, Setup, candidates, engine, write_config
from serving_plot import plot

from vortex.compiler.chips import CHIPS, recognised
from vortex.compiler.front import load
from vortex.compiler.roofline import Roofline
from vortex.compiler.shapes import MODELS, ModelSizes
from vortex.config import OperatingPoint
from vortex.errors import EngineError
from vortex.flows import read
from vortex.ir import Graph
from vortex.serving.checkpoint import find_checkpoint
from vortex.serving.sglang.settings import Settings

NAME = "serving"
DENSE = "dense"
BLOCK = 16
SHARE = 0.75                              # of the GPU's memory for weights, KV and summaries
SLACK = 64                                # tokens a request beyond what it decodes: pages that are not full
CHECK = (3, 200, 48)                      # requests, tokens of each prompt, new ones
BAR = 0.98                                # short contexts and batch 1 are never below this share of dense


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`prompt` tokens each, then `output`; the grid decodes `steps` tokens at each batch and context."""

    models: tuple[ModelSizes, ...]
    flows: tuple[str, ...]
    chosen: tuple[int, ...]
    prompt: int
    output: int
    grid_batches: tuple[int, ...]
    grid_contexts: tuple[int, ...]
    steps: int
    rounds: int
    most: int                             # requests together
    dry: bool = False

    @property
    def dtype(self) -> str:
        return "float32" if self.dry else "bfloat16"

    def point(self, sizes: ModelSizes, chosen: int, below: str) -> OperatingPoint:
        return OperatingPoint(model=sizes.name, engine="sglang", block_size=BLOCK, topk_val=chosen, topk_ratio=0.0,
                              dtype="float32" if self.dry else "bfloat16", dense_below=below)

    def graphs(self, sizes: ModelSizes) -> dict[str, Graph]:
        return {name: load(*read(name)[1:], sizes.geometry(BLOCK)) for name in self.flows}


def dry(plan: Plan) -> Plan:
    return Plan(models=(TINY,), flows=plan.flows[:1], chosen=(1,), prompt=70, output=6, grid_batches=(1,), grid_contexts=(80,),
                steps=3, rounds=1, most=2, dry=True)


def check(dtype: str) -> dict[str, Any]:
    """Tokens with every block kept against stock SGLang, on the probe model. Raises EngineError where they differ."""
    found = find_checkpoint("probe")
    path, vocabulary = Path(found.path), found.shape.vocabulary
    setup = Setup(path=path, page=BLOCK, tokens=4096, requests=8, dtype=dtype, made_up=False)
    stock = candidates(torch.cuda.is_available())[-1]
    with engine(setup, stock) as running:
        wanted = running.tokens(*CHECK, vocabulary)
    point = OperatingPoint(model="probe", engine="sglang", block_size=BLOCK, topk_ratio=1.0, dense_below="never", dtype="float32")
    quest = load(*read("quest")[1:], found.shape.geometry(BLOCK))
    with engine(setup, OURS, Settings(graph=quest.to_json(), point=point)) as running:
        ours = running.tokens(*CHECK, vocabulary)
        running.use(None, point)
        dense = running.tokens(*CHECK, vocabulary)
    same = [sum(a == b for a, b in zip(x, y, strict=True)) for side in (ours, dense) for x, y in zip(side, wanted, strict=True)]
    if set(same) != {CHECK[2]}:
        raise EngineError(f"with every block kept, {same} of {CHECK[2]} tokens equal those of {stock} ({dtype})",
                          hint="No speed is measured of what is not right.")
    return {"model": "probe", "dtype": dtype, "stock": stock, "requests": CHECK[0], "tokens": CHECK[2], "equal": True}


def concurrency(plan: Plan, sizes: ModelSizes) -> int:
    """Requests that fit together beside the largest summaries; the same for all sides."""
    there = card().get("memory_bytes")
    if there is None:
        return plan.most
    roofline = Roofline(model=sizes, chip=recognised(str(card().get("gpu", ""))) or CHIPS["h200"])
    graphs, point = plan.graphs(sizes), plan.point(sizes, plan.chosen[0], "never")

    def fits(batch: int) -> bool:
        return all(roofline.memory_bytes(graph, point, batch, plan.prompt + plan.output + SLACK) <= SHARE * there
                   for graph in graphs.values())

    return max((batch for batch in range(1, plan.most + 1) if fits(batch)), default=1)


def rivals(setup: Setup, plan: Plan, sizes: ModelSizes) -> dict[str, Any]:
    """Tokens a second of each dense backend that starts, at a short shape; of the others why not. One alone has no rival."""
    names, found = candidates(torch.cuda.is_available()), dict[str, Any]()
    if len(names) == 1:
        return {names[0]: 0.0}
    for name in names:
        try:
            with engine(setup, name) as running:
                running.time(1, plan.prompt, plan.steps, sizes.vocabulary)
                found[name] = running.time(min(8, setup.requests), plan.prompt, plan.steps, sizes.vocabulary)
        except EngineError as error:
            found[name] = str(error)
    return found


def shapes(plan: Plan, batch: int) -> list[tuple[int, int, int]]:
    """(batch, context, new tokens): the long run first, then the grid as far as it fits."""
    room = batch * (plan.prompt + plan.output)
    grid = [(b, c, plan.steps) for b in plan.grid_batches for c in plan.grid_contexts
            if b <= batch and b * (c + plan.steps + SLACK) <= room]
    return [(batch, plan.prompt, plan.output), *grid]


def timed(running: Running, plan: Plan, sizes: ModelSizes, batch: int) -> list[float]:
    """Tokens a second at each shape: the long run once, grid cells as medians of rounds after a warm one."""
    found = []
    for b, context, new in shapes(plan, batch):
        if new == plan.steps:
            running.time(b, context, new, sizes.vocabulary)
            found.append(median(running.time(b, context, new, sizes.vocabulary) for _ in range(plan.rounds)))
        else:
            running.time(b, context, plan.steps, sizes.vocabulary)
            found.append(running.time(b, context, new, sizes.vocabulary))
    return found


def measure(plan: Plan, sizes: ModelSizes, folder: Path) -> dict[str, Any]:
    """One model: rival, ours with dense and flows in turns, rival again."""
    batch = concurrency(plan, sizes)
    setup = Setup(path=write_config(sizes, folder / sizes.name), page=BLOCK, requests=batch, dtype=plan.dtype,
                  tokens=batch * (plan.prompt + plan.output + SLACK))
    tried = rivals(setup, plan, sizes)
    known = {name: speed for name, speed in tried.items() if isinstance(speed, float)}
    if not known:
        return {"model": sizes.name, "skipped": "no dense backend of SGLang's started", "tried": tried}
    rival = max(known, key=lambda name: known[name])
    told: dict[str, Any] = {"model": sizes.name, "batch": batch, "shapes": shapes(plan, batch), "tried": tried, "rival": rival}
    with engine(setup, rival) as running:
        told["stock"] = [timed(running, plan, sizes, batch)]
    told["ours"], told["swap_s"], told["index_bytes"] = ours(setup, plan, sizes, batch, rival)
    with engine(setup, rival) as running:
        told["stock"].append(timed(running, plan, sizes, batch))
    return told


def ours(setup: Setup, plan: Plan, sizes: ModelSizes, batch: int,
         rival: str) -> tuple[dict[str, Any], list[float], dict[str, int]]:
    """Tokens a second by side, seconds of every swap, bytes of summaries; dense at both ends."""
    sides: list[tuple[str, Graph | None, OperatingPoint]] = [
        (f"{name} {k}", graph, plan.point(sizes, k, "auto")) for name, graph in plan.graphs(sizes).items() for k in plan.chosen]
    plain = (DENSE, None, plan.point(sizes, plan.chosen[0], "auto"))
    found: dict[str, Any] = {}
    swaps, index = [], {}
    with engine(setup, OURS, Settings(graph=None, point=plain[2]), rival) as running:
        for name, graph, point in (plain, *sides, plain):
            swaps.append(running.use(graph, point))
            found.setdefault(name, []).append(timed(running, plan, sizes, batch))
            index[name] = int(running.counters().get("index_bytes", 0))
    return found, swaps, index


def ratios(told: Mapping[str, Any]) -> dict[str, list[tuple[float, float, float]]]:
    """By side and shape: how many times faster than the rival, than its better turn, and than our own dense."""
    stock, own = zip(*told["stock"], strict=True), zip(*told["ours"][DENSE], strict=True)
    bases = [(median(s), max(s), median(d)) for s, d in zip(stock, own, strict=True)]
    return {name: [(speed / a, speed / b, speed / c) for speed, (a, b, c) in zip(turns[0], bases, strict=True)]
            for name, turns in told["ours"].items() if name != DENSE}


def show(told: Mapping[str, Any]) -> None:
    if "skipped" in told:
        print(f"{told['model']}: {told['skipped']}: {told['tried']}")
        return
    print(f"{told['model']}  {told['batch']} requests together  rival: SGLang's {told['rival']}  "
          f"swaps at most {max(told['swap_s']):.2f} s")
    found = ratios(told)
    for n, (batch, context, new) in enumerate(told["shapes"]):
        turns = [speeds[n] for speeds in told["stock"]]
        print(f"  batch {batch:3} context {context:6} + {new:5}  {told['rival']} {min(turns):,.1f} to {max(turns):,.1f} tokens/s")
        for name, rows in found.items():
            low = "   BELOW 0.98x" if rows[n][0] < BAR and (batch == 1 or context <= 8192) else ""
            print(f"    {name:14} {told['ours'][name][0][n]:10,.1f} tokens/s   {rows[n][0]:.2f}x the rival "
                  f"({rows[n][1]:.2f}x its better turn), {rows[n][2]:.2f}x dense of ours{low}", flush=True)


def record(results: Sequence[Mapping[str, Any]], checked: Mapping[str, Any], plan: Plan, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    setting = {name: value for name, value in asdict(plan).items() if name != "models"}
    told = {"machine": machine(torch.get_num_threads()) | card(), "setting": setting, "check": checked,
            "results": [{**one, **({} if "skipped" in one else {"times": ratios(one)})} for one in results]}
    (folder / f"{NAME}.json").write_text(json.dumps(told, indent=1) + "\n")
    plot(results, folder / f"{NAME}.png")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true", help="a tiny model on a CPU, in minutes; nothing is kept")
    parser.add_argument("--models", nargs="+", choices=[m for m in MODELS if m.startswith("qwen3")],
                        default=["qwen3-1.7b", "qwen3-4b", "qwen3-8b"])
    parser.add_argument("--flows", nargs="+", default=["centroid", "quest"])
    parser.add_argument("--chosen", type=int, nargs="+", default=[29, 125], help="blocks taken by score, beside three reserved")
    parser.add_argument("--prompt", type=int, default=512, help="tokens")
    parser.add_argument("--output", type=int, default=16_384, help="tokens of the long run")
    parser.add_argument("--most", type=int, default=256, help="requests together, where memory allows more")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32], help="of the grid")
    parser.add_argument("--contexts", type=int, nargs="+", default=[1024, 4096, 8192, 16_384, 32_768], help="of the grid")
    parser.add_argument("--steps", type=int, default=128, help="tokens decoded in a cell of the grid")
    parser.add_argument("--rounds", type=int, default=3, help="of a cell of the grid")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the record")
    return parser.parse_args()


def main() -> int:
    given = options()
    if not given.dry_run and not torch.cuda.is_available():
        print("benchmarks/serving.py: there is no CUDA device here; --dry-run goes through it on a CPU", file=sys.stderr)
        return 2
    plan = Plan(models=tuple(MODELS[name] for name in given.models), flows=tuple(given.flows), chosen=tuple(given.chosen),
                prompt=given.prompt, output=given.output, grid_batches=tuple(given.batches),
                grid_contexts=tuple(given.contexts), steps=given.steps, rounds=given.rounds, most=given.most)
    plan = dry(plan) if given.dry_run else plan
    try:
        checked = check("float32")
    except EngineError as error:
        print(error.report(), file=sys.stderr)
        return error.exit_code
    print(f"tokens with every block kept equal those of SGLang's {checked['stock']}: {checked['requests']} x {checked['tokens']}",
          flush=True)
    results = []
    with tempfile.TemporaryDirectory(prefix="vortex-models-") as folder:
        for sizes in plan.models:
            results.append(measure(plan, sizes, Path(folder)))
            show(results[-1])
            if not plan.dry:
                record(results, checked, plan, given.out)     # a run that is cut off keeps what it has
    if plan.dry:
        print("dry run: a tiny model on a CPU. These figures say nothing of a GPU, and none was kept.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
