"""What the repeats of a problem tell: noise of the same problems asked again, apart from the choice of problems."""
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from evaluator.report import Estimate, Row, RowsByStage
from evaluator.statistics.centre import Centre, estimate, plain, size
from evaluator.statistics.scores import accuracy_rows, clusters


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
