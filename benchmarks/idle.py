"""The share of time in which workers had nothing to do, and how often they started an engine, while built-in flows are judged.

    python benchmarks/idle.py --workers 2
"""
import argparse
import sys
from concurrent.futures import ThreadPoolExecutor

from machine import record

from evaluator.cluster import Cluster, ClusterSettings
from evaluator.funnel import Funnel, MemoryBook, Silent, Work
from evaluator.stage import Stage
from evaluator.stages import make_stage
from vortex import api, flows
from vortex.config import OperatingPoint

POINTS = (OperatingPoint(), OperatingPoint(topk_ratio=0.25))       # by turns: shares of the blocks need no engine of their own
TASKS = ["multikey-1k-full", "multiquery-1k", "vt-1k-4hop"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--candidates", type=int, default=24)
    parser.add_argument("--samples", type=int, default=16)
    options = parser.parse_args()
    names = flows.ALGORITHMS
    stages: list[Stage] = [make_stage("retrieval", {"tasks": TASKS, "samples": options.samples})]
    with Cluster(ClusterSettings(workers=options.workers)) as cluster, ThreadPoolExecutor(options.workers) as threads:
        def judge(number: int) -> str:
            point = POINTS[number % len(POINTS)]
            graph = api.load_flow(names[number % len(names)]).graph
            work = Work(name=str(number), source="", graph=graph, point=point, control=True)
            return Funnel(stages, cluster).judge(work, MemoryBook(), Silent()).status.value

        ended = list(threads.map(judge, range(options.candidates)))
        usage = cluster.usage()
    shares = {name: round(one.idle_s / (one.idle_s + one.busy_s), 4) for name, one in usage.items()}
    starts = {name: one.engine_starts for name, one in usage.items()}
    print(f"idle {shares}, engine starts {starts}, ended {sorted(set(ended))}")
    record("idle", 1, {"workers": options.workers, "candidates": options.candidates, "idle share": list(shares.values()),
                       "engine starts": list(starts.values())})
    return 0 if max(shares.values()) <= 0.05 and set(starts.values()) == {1} else 1


if __name__ == "__main__":
    sys.exit(main())
