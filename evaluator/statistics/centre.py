"""Mean over groups of clusters and its standard error; clusters that all agree still leave a doubt.

Intervals of bounded figures add pseudo-rows at both ends of the range: for scores as Agresti and Coull (1998) do for a
share, for paired differences as Bonett and Price (2012) do. Groups are tasks: they weigh the same, whatever their size.
A cluster is a problem: the mean over its repeats counts once (Miller 2024, "Adding Error Bars to Evals").
"""
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from evaluator.report import Estimate

LEVEL = 0.95
Z = float(special.ndtri(0.5 + LEVEL / 2))


@dataclass(frozen=True)
class Centre:
    """Centre and standard error of a mean over tasks, pseudo-rows counted in."""

    value: float
    error: float


def centre(groups: Sequence[Sequence[float]], ends: tuple[float, float], weight: float) -> Centre:
    """Mean over groups of their means, after `weight` pseudo-rows at each end were shared out among the groups."""
    each = weight / len(groups)
    values, squares = [], 0.0
    for group in groups:
        rows, size = np.asarray(group, dtype=float), len(group) + 2 * each
        middle = (float(rows.sum()) + each * sum(ends)) / size
        spread = float(((rows - middle) ** 2).sum()) + each * sum((end - middle) ** 2 for end in ends)
        values.append(middle)
        squares += spread / size**2
    return Centre(sum(values) / len(values), math.sqrt(squares) / len(values))


def estimate(value: float, middle: Centre, ends: tuple[float, float], count: int) -> Estimate:
    """The interval around `middle`, kept within `ends` and stretched to hold `value`."""
    low = min(value, max(ends[0], middle.value - Z * middle.error))
    high = max(value, min(ends[1], middle.value + Z * middle.error))
    return Estimate(value=value, low=low, high=high, count=count)


def plain(groups: Sequence[Sequence[float]]) -> float:
    """The mean over groups of their means."""
    assert groups, "a figure of no rows"
    return float(np.mean([np.mean(group) for group in groups]))


def size(groups: Sequence[Sequence[object]]) -> int:
    """How many clusters the groups hold."""
    return sum(len(group) for group in groups)
