"""Who beats whom in both objectives, now and once all problems are answered."""
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeAlias

from scipy import special

from evaluator.report import RowsByStage
from evaluator.statistics.centre import centre, plain, size
from evaluator.statistics.names import SPEED_STAGE
from evaluator.statistics.scores import furthest, gaps, pairs_by_task, probability_at_least
from evaluator.statistics.timings import probability_as_fast, speed

Total: TypeAlias = int | Mapping[str, int]                # of all tasks together, or by task, see task_of
# Two runs of one flow differ by about this much, standard deviation on logarithms, whatever the repeats within a run
# agree on: 4.1 % between 40 runs of five repeats on two shared cores, 1.8 % between 16 of ten (experiments/aa.toml).
RUN_SPREAD = 0.04
# What placement in memory and the order of runs can do to one flow for good: a smaller lead is not the algorithm's.
SPEED_FLOOR = 0.03


class Measured(Protocol):
    """What a rival is here; evaluator.stage.Rival is one."""

    @property
    def id(self) -> int: ...

    @property
    def name(self) -> str: ...

    @property
    def rows(self) -> RowsByStage: ...


def probability_dominates(ours: RowsByStage, theirs: RowsByStage, margin: float = 0.0) -> float:
    """The probability that we are at least as accurate (less `margin`) and as fast; the two err independently."""
    return probability_at_least(ours, theirs, margin) * probability_as_fast(ours, theirs)


def chance_on_frontier(own: RowsByStage, rivals: Iterable[Measured], total: Total) -> float:
    """The chance that, once `own` has answered `total` problems, no rival is as accurate and, within SPEED_FLOOR, as fast.

    The accuracy rows so far are a random part of the `total`, or of each task's where that is told by task: one without rows
    is predicted from all others. Speeds are as measured (one half each way where one was not timed). The least chance over
    rivals counts: no less than the chance of getting past all of them.
    """
    return min((1 - _dominated(own, rival.rows, total) for rival in rivals), default=1.0)


def _dominated(own: RowsByStage, rival: RowsByStage, total: Total) -> float:
    as_fast = _as_fast(rival, own)
    return as_fast * (1 - _ahead(own, rival, total)) if as_fast else 0.0


def _ahead(own: RowsByStage, rival: RowsByStage, total: Total) -> float:
    """The chance that the difference of accuracies over `total` problems is above zero: its predictive Student's t.

    Of the problems that are left the difference is drawn like those seen, pseudo-rows among them; those seen stay.
    """
    tasks = pairs_by_task(own, rival)
    if not tasks:
        return 0.5
    groups = list(tasks.values())
    found, count = gaps(groups), size(groups)
    if isinstance(total, int):
        whole, left = total, [max(0.0, 1 - count / total)] * len(tasks)
    else:
        unseen = [task for task in total if task not in tasks]
        whole = sum(total[task] for task in (*tasks, *unseen))
        left = [max(0.0, 1 - len(group) / total[task]) for task, group in tasks.items()] + [1.0] * len(unseen)
        found += [[one for group in found for one in group]] * len(unseen)
    if not any(left):
        return float(plain(found) > 0)
    if not any(one for group in found for one in group):
        # Twins so far: they stay so with the chance that Laplace's rule of succession gives, else either may be ahead.
        return (1 - (count + 1) / (whole + 1)) / 2
    end, error = _predicted(found, left, furthest(groups))
    return float(special.stdtr(count + 1, end / error))


def _predicted(found: Sequence[Sequence[float]], left: Sequence[float], far: float) -> tuple[float, float]:
    """The mean over tasks once each has answered what is `left` of it, and the standard error of that."""
    ends, squares = [], 0.0
    for group, share in zip(found, left, strict=True):
        own = centre([group], (-far, far), 1 / len(found))
        ends.append((1 - share) * plain([group]) + share * own.value)
        squares += share * own.error**2
    return sum(ends) / len(ends), math.sqrt(squares) / len(ends)


def _as_fast(ours: RowsByStage, theirs: RowsByStage) -> float:
    if min(len(rows.get(SPEED_STAGE, ())) for rows in (ours, theirs)) < 2:
        return 0.5
    return float(speed(ours).value * (1 + SPEED_FLOOR) >= speed(theirs).value)
