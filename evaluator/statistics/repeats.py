"""What would come out again: noise of the same problems, apart from the choice of problems; and of other runs of one timing."""
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from evaluator.report import Estimate, Row, RowsByStage
from evaluator.statistics.centre import Centre, Z, estimate, plain, size
from evaluator.statistics.dominance import RUN_SPREAD
from evaluator.statistics.names import SPEED_STAGE
from evaluator.statistics.scores import accuracy_rows, clusters
from evaluator.statistics.timings import speed


def fewest_repeats(rows: Iterable[Row]) -> int:
    """The fewest repeats of any problem: below 2, noise within problems is only bounded, see on_this_set."""
    return min(len(scores) for problems in clusters(rows).values() for scores in problems.values())


def on_this_set(rows: RowsByStage) -> Estimate:
    """The accuracy with the interval for these very problems asked again: the variance within problems alone.

    Per task of N problems with k repeats, sum p(1 - p) / (N^2 k), and one pseudo-problem of p = 1/2, for repeats that
    all agree leave a doubt. A task without repeats is given p(1 - p) of its mean, which is an upper bound.
    """
    tasks = clusters(accuracy_rows(rows))
    means = [[float(np.mean(scores)) for scores in problems.values()] for problems in tasks.values()]
    squares = [_squares(problems) for problems in tasks.values()]
    centre = Centre(plain(means), float(np.sum(squares)) ** 0.5 / len(squares))
    return estimate(plain(means), centre, (0.0, 1.0), size(means))


def of_other_runs(figure: Estimate, run_spread: float = RUN_SPREAD) -> Estimate:
    """A speed with the interval for other runs of the same flow: its own is that of the repeats within one run."""
    low, high = math.log(figure.low), math.log(figure.high)
    middle, half = (low + high) / 2, math.hypot((high - low) / 2, Z * run_spread)
    return replace(figure, low=min(figure.low, math.exp(middle - half)), high=max(figure.high, math.exp(middle + half)))


def other_intervals(rows: RowsByStage) -> dict[str, Estimate]:
    """Beside `accuracy` and `speed`, where they were measured: on_this_set and of_other_runs, by the names they are told by."""
    found = {}
    if accuracy_rows(rows):
        found["accuracy_on_this_set"] = on_this_set(rows)
    if len(rows.get(SPEED_STAGE, ())) > 1:
        found["speed_of_other_runs"] = of_other_runs(speed(rows))
    return found


def within(problems: Mapping[str, Sequence[float]]) -> float:
    """The mean variance of a score within a problem; without repeats an upper bound: p(1 - p) of the task's mean p."""
    repeated = [float(np.var(scores, ddof=1)) for scores in problems.values() if len(scores) > 1]
    if repeated:
        return float(np.mean(repeated))
    share = float(np.mean([np.mean(scores) for scores in problems.values()]))
    return share * (1 - share)


def _squares(problems: Mapping[str, Sequence[float]]) -> float:
    """The variance of a task's mean."""
    shares = [1 / len(scores) for scores in problems.values()]
    return (within(problems) * sum(shares) + 0.25 * float(np.mean(shares))) / len(problems) ** 2
