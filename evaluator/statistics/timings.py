"""Decode speed and its comparisons: ratios, so everything happens on logarithms."""
import math
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from scipy import special

from evaluator.report import Estimate, Row, RowsByStage
from evaluator.statistics.centre import LEVEL
from evaluator.statistics.names import SPEED_STAGE


def median_ratio(ratios: Sequence[float]) -> Estimate:
    """The median of at least two positive ratios; the interval is Student's on their logarithms."""
    assert len(ratios) >= 2, "one measurement has no error bar"
    logs = np.log(ratios)
    half = _t(len(logs) - 1) * float(np.std(logs, ddof=1)) / math.sqrt(len(logs))
    middle, value = float(np.mean(logs)), float(np.median(ratios))
    return Estimate(value=value, low=min(value, math.exp(middle - half)), high=max(value, math.exp(middle + half)),
                    count=len(ratios))


def speed(rows: RowsByStage) -> Estimate:
    """Decode speed as a multiple of dense decode's: the geometric mean over shapes, the median over repeats."""
    return median_ratio(per_repeat(rows[SPEED_STAGE]))


def per_repeat(rows: Sequence[Row], figure: Callable[[Row], float] = lambda row: row.score) -> list[float]:
    """One value a repeat: the geometric mean over its rows of a positive figure, the score unless told."""
    repeats: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        repeats[row.repeat].append(math.log(figure(row)))
    return [math.exp(sum(logs) / len(logs)) for _, logs in sorted(repeats.items())]


def probability_as_fast(ours: RowsByStage, theirs: RowsByStage, *, lead: float = 0.0, run_spread: float = 0.0) -> float:
    """The probability that our speed is at least theirs (Welch's t on logarithms); one half where one has none.

    With `lead`, that it is more by that share. `run_spread` is the standard deviation, on logarithms, between the means
    of runs of one flow: what the repeats within a run cannot show.
    """
    a, b = (np.log(per_repeat(rows.get(SPEED_STAGE, ()))) for rows in (ours, theirs))
    if min(len(a), len(b)) < 2:
        return 0.5
    parts = [float(np.var(x, ddof=1)) / len(x) for x in (a, b)]
    ahead, spread = float(np.mean(a) - np.mean(b)) - math.log1p(lead), sum(parts) + 2 * run_spread**2
    if spread == 0:
        return 0.5 + 0.5 * float(np.sign(ahead))
    within = sum(part**2 / (len(x) - 1) for part, x in zip(parts, (a, b), strict=True))
    freedom = spread**2 / within if within else math.inf
    return float(special.stdtr(freedom, ahead / math.sqrt(spread)))


def _t(freedom: int) -> float:
    return float(special.stdtrit(freedom, 0.5 + LEVEL / 2))
