"""The kernels of a decode step on a GPU: right first, then timed in CUDA graphs beside what torch and FlashInfer offer.

    python benchmarks/kernels.py [--models qwen3-1.7b qwen3-4b] [--batches 1 16] [--contexts 4096 32768] [--flows centroid quest]
                                 [--rounds 20] [--seconds 1500] [--no-rivals] [--no-check] [--strict] [--out FOLDER] [--dry-run]

Writes kernels.json and plots. Ends with 1 where a kernel is wrong or, with --strict, a target is missed; with 2 where there is
no GPU. --dry-run walks through everything once at tiny shapes under Triton's interpreter: no times, no record.
"""
import argparse
import os
import sys
from pathlib import Path

import torch
from machine import RESULTS

from vortex.compiler.shapes import MODELS
from vortex.flows import names

SHAPES = ("qwen3-1.7b", "qwen3-4b", "qwen3-8b")
BATCHES = (1, 4, 16, 32, 64, 128)
CONTEXTS = (4096, 8192, 16384, 32768, 65536, 131072)
FLOWS = ("centroid", "quest")


def count(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(SHAPES), metavar="MODEL", choices=list(MODELS), help=" ".join(MODELS))
    parser.add_argument("--batches", type=count, nargs="+", default=list(BATCHES))
    parser.add_argument("--contexts", type=count, nargs="+", default=list(CONTEXTS))
    parser.add_argument("--flows", nargs="+", default=list(FLOWS), metavar="FLOW", choices=names(), help="built-in flows")
    parser.add_argument("--rounds", type=count, default=20, help="timed replays of each graph")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="no further point of the grid is begun after these")
    parser.add_argument("--no-rivals", action="store_true", help="time ours alone")
    parser.add_argument("--no-check", action="store_true", help="leave the comparison with the reference out")
    parser.add_argument("--strict", action="store_true", help="a target that is missed is an error")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of record and plots")
    parser.add_argument("--dry-run", action="store_true")
    return parser.parse_args()


def main() -> int:
    options = parsed()
    if not options.dry_run and not torch.cuda.is_available():
        print("benchmarks/kernels.py: there is no CUDA device here; --dry-run walks through it without one", file=sys.stderr)
        return 2
    if options.dry_run:
        os.environ["TRITON_INTERPRET"] = "1"
    # Triton decides on its first import whether it interprets.
    from kernels_walk import dry_run, measured
    return dry_run() if options.dry_run else measured(options)


if __name__ == "__main__":
    sys.exit(main())
