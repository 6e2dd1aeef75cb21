"""The smallest difference a stage can see, before it is bought."""
import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from evaluator.report import Row
from evaluator.statistics.repeats import within
from evaluator.statistics.scores import clusters

_ROUNDS = 60                                # the fixed point halves its error each time


def detectable(known: Sequence[Row] | float | None, problems: int, repeats: int = 1, *, power: float = 0.8,
               level: float = 0.05, correlation: float = 0.0) -> float:
    """The difference of two accuracies that the interval of `difference` tells from zero with probability `power`.

    `known`: rows of dense decode, or a guess at its accuracy, or nothing (1/2, where noise is greatest). Rows without
    repeats bound the noise within a problem by p(1 - p). `level` is two-sided; `correlation` is that of two
    flows' scores on one problem given what is known: 0 is the safe assumption, and the right one for rows with repeats.
    What is lost is taken to be lost alike on all problems of a kind. 1 where nothing in [0, 1] can be seen.
    """
    share, noise = _moments(known)
    alpha, beta = float(special.ndtri(1 - level / 2)), float(special.ndtri(power))
    found = needed = 0.0
    for _ in range(_ROUNDS):
        # A loss at problems that were nearly always solved adds as much noise as it takes accuracy: the worst case.
        spread = (noise + min(0.25, noise + found * (1 - found))) * (1 - correlation) / repeats
        end = 1.0 if repeats == 1 else max(1 / repeats, math.sqrt(spread))
        needed = alpha * math.sqrt(problems * spread + 2 * end**2) + beta * math.sqrt(problems * spread)
        found = (found + min(needed / problems, 1.0)) / 2
    return found if found <= max(share, 1 - share) else 1.0


def _moments(known: Sequence[Row] | float | None) -> tuple[float, float]:
    """The accuracy, and the noise within problems: the mean of p(1 - p)."""
    if known is None or isinstance(known, float | int):
        share = 0.5 if known is None else float(known)
        return share, share * (1 - share)
    tasks = clusters(known).values()
    shares = [float(np.mean([np.mean(scores) for scores in group.values()])) for group in tasks]
    return float(np.mean(shares)), float(np.mean([within(group) for group in tasks]))
