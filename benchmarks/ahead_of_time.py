"""Builds the kernels of every built-in flow for several chips without a GPU, and records what their machine code is.

    python benchmarks/ahead_of_time.py [--targets sm_80 sm_90 sm_100] [--flows quest ...] [--name ahead_of_time]

Run it under another version of Triton to see that the same texts build there as well.
"""
import argparse
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import triton
from machine import record

from vortex.compiler.front import load_usual
from vortex.compiler.kernels.catalogue import kernels_for
from vortex.compiler.pipeline import report_kernels
from vortex.config import OperatingPoint
from vortex.errors import CompileError
from vortex.flows import names, read, settings

KEPT = ("name", "code", "registers", "spills", "shared", "instructions", "vectorised", "build_s")
POINT = OperatingPoint(topk_val=29, topk_ratio=0.0, dtype="bfloat16")
PROCESSES = 2


def rows_of(name: str, target: str) -> list[dict[str, Any]]:
    """A record a kernel; of a flow that the chip has no types for, one that says so."""
    _, text, path = read(name)
    graph = load_usual(text, path)
    try:
        kernels = kernels_for(graph, POINT.with_(**settings(path)), target)
    except CompileError as error:
        return [{"flow": name, "target": target, "name": "", "code": "refused", "message": error.message}]
    (report,) = report_kernels([(target, kernels)], processes=PROCESSES)
    return [{"flow": name, "target": target, **{key: row[key] for key in KEPT}} for row in report.to_json()["kernels"]]


def distinct(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A kernel that several flows share is told once, under the first of them."""
    told = {tuple(value for key, value in row.items() if key != "flow"): row for row in reversed(rows)}
    return list(reversed(told.values()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", nargs="+", default=["sm_80", "sm_90", "sm_100"])
    parser.add_argument("--flows", nargs="+", default=list(names()))
    parser.add_argument("--name", default="ahead_of_time", help="of the record in benchmarks/results/")
    args = parser.parse_args()
    found: list[dict[str, Any]] = []
    began = time.perf_counter()
    for target in args.targets:
        for name in args.flows:
            rows = rows_of(name, target)
            found += rows
            worst = max(rows, key=lambda row: row.get("registers", 0))
            told = [f"{row['name']}: {row['code']}" for row in rows if row["code"]]
            most = worst.get("registers", 0)
            print(f"{target:7} {name:26} {len(rows):2} kernels, at most {most:3} registers  {'; '.join(told)}",
                  flush=True)
    seconds = time.perf_counter() - began
    path = record(args.name, PROCESSES, {"triton": triton.__version__, "seconds": round(seconds, 1), "kernels": distinct(found)})
    print(f"{len(found)} kernels in {seconds:.0f} s, {sum(bool(row['code']) for row in found)} not as they should be; {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
