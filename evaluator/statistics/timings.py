"""Decode speed and its comparisons: ratios, so everything happens on logarithms."""
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from evaluator.report import Estimate, Row, RowsByStage
from evaluator.statistics.centre import LEVEL
from evaluator.statistics.names import SPEED_STAGE

TRIM_FROM = 10                            # repeats


@dataclass(frozen=True)
class Middle:
    """A mean of logarithms with its squared error."""

    mean: float
    square: float
    freedom: int

    @staticmethod
    def of(ratios: Sequence[float]) -> "Middle":
        """From ten ratios on a quarter at each end is left out (Tukey and McLaughlin 1963): what else runs on a machine now
        and then makes a step twice as slow, and one such step would hide what the others agree on."""
        logs = np.sort(np.log(ratios))
        cut = len(logs) // 4 if len(logs) >= TRIM_FROM else 0
        kept = len(logs) - 2 * cut
        near = np.clip(logs, logs[cut], logs[-1 - cut])
        square = (len(logs) - 1) * float(np.var(near, ddof=1)) / (kept * (kept - 1))
        return Middle(float(np.mean(logs[cut:len(logs) - cut])), square, kept - 1)


def median_ratio(ratios: Sequence[float]) -> Estimate:
    """The median of at least two positive ratios; the interval is Student's on their logarithms, trimmed (see Middle)."""
    assert len(ratios) >= 2, "one measurement has no error bar"
    middle, value = Middle.of(ratios), float(np.median(ratios))
    half = _t(middle.freedom) * math.sqrt(middle.square)
    return Estimate(value=value, low=min(value, math.exp(middle.mean - half)), high=max(value, math.exp(middle.mean + half)),
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
    """The probability that our speed is at least theirs (Yuen's t on logarithms: Welch's of trimmed means); one half where
    one has none.

    With `lead`, that it is more by that share. `run_spread` is the standard deviation, on logarithms, between the means
    of runs of one flow: what the repeats within a run cannot show.
    """
    repeats = [per_repeat(rows.get(SPEED_STAGE, ())) for rows in (ours, theirs)]
    if min(map(len, repeats)) < 2:
        return 0.5
    a, b = map(Middle.of, repeats)
    ahead, spread = a.mean - b.mean - math.log1p(lead), a.square + b.square + 2 * run_spread**2
    if spread == 0:
        return 0.5 + 0.5 * float(np.sign(ahead))
    within = a.square**2 / a.freedom + b.square**2 / b.freedom
    freedom = spread**2 / within if within else math.inf
    return float(special.stdtr(freedom, ahead / math.sqrt(spread)))


def _t(freedom: int) -> float:
    return float(special.stdtrit(freedom, 0.5 + LEVEL / 2))
