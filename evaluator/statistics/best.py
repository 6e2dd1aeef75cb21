"""The best of many was lucky: estimates drawn towards their mean as far as their spread is noise.

Empirical Bayes on a normal prior (Efron and Morris 1975; interval after Morris 1983). Its posterior needs no further correction
for having looked at the best (Efron 2011, "Tweedie's Formula and Selection Bias").
"""
import math
from collections.abc import Sequence

import numpy as np

from evaluator.report import Estimate
from evaluator.statistics.centre import Z


def shrunken(estimates: Sequence[Estimate]) -> tuple[Estimate, ...]:
    """Each estimate with the luck of the draw taken out, in the same order; fewer than four are left alone.

    Their errors are taken to be independent, and half of their intervals to be 1.96 standard errors. Where problems
    are shared the interval on_this_set is the one to give: what all candidates share does not make one the best.
    """
    if len(estimates) < 4:
        return tuple(estimates)
    values = np.array([one.value for one in estimates])
    noise = np.maximum([one.half_width / Z for one in estimates], 1e-9) ** 2
    spread = _spread_of_truths(values, noise)
    weights = 1 / (noise + spread)
    centre = float((weights * values).sum() / weights.sum())
    many = len(estimates)
    # (m - 3) / (m - 1), because the spread of truths was itself estimated (Morris).
    towards = (many - 3) / (many - 1) * noise / (noise + spread)
    moved = values + towards * (centre - values)
    errors = np.sqrt(noise * (1 - towards * (many - 1) / many) + 2 / (many - 3) * (towards * (values - centre)) ** 2)
    return tuple(Estimate(value=float(value), low=float(value - Z * error), high=float(value + Z * error), count=one.count)
                 for value, error, one in zip(moved, errors, estimates, strict=True))


def best_of(estimates: Sequence[Estimate]) -> Estimate:
    """The greatest of `estimates` (at least one) with the luck of being the greatest taken out, see shrunken."""
    found = shrunken(estimates)
    return found[int(np.argmax([one.value for one in estimates]))]


def _spread_of_truths(values: np.ndarray, noise: np.ndarray) -> float:
    """The variance between true values that makes the weighted squares come out as expected (Paule and Mandel 1982)."""
    def excess(spread: float) -> float:
        weights = 1 / (noise + spread)
        centre = (weights * values).sum() / weights.sum()
        return float((weights * (values - centre) ** 2).sum()) - (len(values) - 1)

    low, high = 0.0, float(np.var(values, ddof=1)) * len(values) + 1e-12
    if excess(low) <= 0:
        return 0.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return math.fsum((low, high)) / 2
