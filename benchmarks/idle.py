"""The share of time in which workers had nothing to do, and how often they started an engine, while built-in flows are judged.

    python benchmarks/idle.py [--workers 1 2]
"""
import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from machine import record

from evaluator.cluster import Cluster, ClusterSettings
from evaluator.funnel import Funnel, MemoryBook, Silent, Work
from evaluator.stage import Stage
from evaluator.stages import make_stage
from vortex import api, flows
from vortex.config import OperatingPoint
from vortex.serving.checkpoint import find_checkpoint

POINTS = (OperatingPoint(), OperatingPoint(topk_ratio=0.25))       # by turns: shares of the blocks need no engine of their own
TASKS = ["multikey-1k-full", "multiquery-1k", "vt-1k-4hop"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="clusters of so many workers, one after the other")
    parser.add_argument("--candidates", type=int, default=24)
    parser.add_argument("--samples", type=int, default=16)
    options = parser.parse_args()
    found = [saturated(workers, options.candidates, options.samples) for workers in options.workers]
    for one in found:
        print(one)
    record("idle", 1, found)
    held = all(max(one["idle share"]) <= 0.05 and set(one["engine starts"]) == {1} and one["ended"] == ["ok"] for one in found)
    return 0 if held else 1


def saturated(workers: int, candidates: int, samples: int) -> dict[str, Any]:
    """Idle share and engine starts of each of `workers` that always have a candidate waiting."""
    names = flows.ALGORITHMS
    geometry = find_checkpoint(POINTS[0].model, POINTS[0].engine).shape.geometry(POINTS[0].block_size)
    stages: list[Stage] = [make_stage("retrieval", {"tasks": TASKS, "samples": samples})]
    with Cluster(ClusterSettings(workers=workers)) as cluster, ThreadPoolExecutor(workers) as threads:
        def judge(number: int) -> str:
            point = POINTS[number % len(POINTS)]
            graph = api.load_flow(names[number % len(names)]).graph(geometry)
            work = Work(name=str(number), source="", graph=graph, point=point, control=True)
            return Funnel(stages, cluster).judge(work, MemoryBook(), Silent()).status.value

        ended = sorted(set(threads.map(judge, range(candidates))))
        usage = cluster.usage().values()
    return {"workers": workers, "candidates": candidates, "ended": ended, "engine starts": [one.engine_starts for one in usage],
            "idle share": [round(one.idle_s / (one.idle_s + one.busy_s), 4) for one in usage]}


if __name__ == "__main__":
    sys.exit(main())
