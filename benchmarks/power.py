"""Whether `detectable` keeps its word: how often the interval of a difference of that size excludes zero.

    python benchmarks/power.py [--studies 2000]     # benchmarks/results/power.json

Problems are of every difficulty (Beta(1/2, 1/2)); the other flow solves each a fixed share less often.
"""
import argparse
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from machine import record
from numpy.random import Generator
from simulated import answers, difficulty

from evaluator.statistics import detectable, difference

PROMISED = 0.8
KEPT = 0.9


@dataclass(frozen=True)
class Study:
    """`known`: what `detectable` is given: rows of dense decode, these beside rows of a control that keeps KEPT of its accuracy
    ("rows, control"), or its accuracy alone with a `correlation`."""

    problems: int
    repeats: int
    known: str
    correlation: float = 0.0


# Answers of two like flows to problems of Beta(1/2, 1/2) correlate by 1/2; of flows that differ by what these studies can
# see, by .33 and .40.
STUDIES = (*(Study(n, k, "rows") for n in (30, 60, 120) for k in (4, 16)),
           *(Study(n, 1, "rows, control") for n in (60, 160)),
           Study(60, 1, "accuracy", 0.33), Study(160, 1, "accuracy", 0.40), *(Study(n, 1, "accuracy") for n in (60, 160)))


def power(study: Study, studies: int, seed: int = 1) -> dict[str, Any]:
    """The share of studies that tell the two apart, and the size of the difference."""
    draw = np.random.default_rng(seed)
    promised, told = [], 0
    for _ in range(studies):
        shares = difficulty(draw, study.problems)
        gap = _promise(draw, study, shares)
        promised.append(gap)
        factor = max(0.0, 1 - gap / float(np.mean(shares)))
        better, worse = answers(draw, shares, study.repeats), answers(draw, shares * factor, study.repeats)
        told += difference({"reasoning": better}, {"reasoning": worse}).low > 0
    return {**asdict(study), "detectable": float(np.mean(promised)), "power": told / studies}


def _promise(draw: Generator, study: Study, shares: Any) -> float:
    known = float(np.mean(shares)) if study.known == "accuracy" else answers(draw, shares, study.repeats)
    others = [answers(draw, KEPT * shares, study.repeats)] if study.known == "rows, control" else []
    return detectable(known, study.problems, study.repeats, others=others, power=PROMISED, correlation=study.correlation)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000)
    found = []
    for study in STUDIES:
        found.append(power(study, parser.parse_args().studies))
        print(found[-1], flush=True)
    record("power", 1, {"promised": PROMISED, "studies": found})


if __name__ == "__main__":
    main()
