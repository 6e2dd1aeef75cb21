"""Accuracy and its comparisons, paired and clustered by problem: pure functions of rows.

Scores are in [0, 1]. The repeats of a problem are one cluster: k of them are not k independent problems.
"""
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from evaluator.report import Estimate, Row, RowsByStage
from evaluator.statistics.centre import Centre, Z, centre, estimate, plain, size
from evaluator.statistics.names import ACCURACY_STAGES


@dataclass(frozen=True)
class Pair:
    """One problem that both answered: the mean score of either over its repeats, and the fewest repeats of the two."""

    ours: float
    theirs: float
    repeats: int


def task_of(row: Row) -> str:
    """The task a row belongs to: the part of the problem's id before the first slash."""
    return f"{row.stage}/{row.problem.split('/')[0]}"


def mean(scores: Sequence[float]) -> Estimate:
    """The mean of scores in [0, 1] of one task, one score a problem."""
    return _bounded([scores])


def mean_of_tasks(rows: Iterable[Row]) -> Estimate:
    """The mean over tasks of the mean score of each task's problems; would it generalise to more problems like these?"""
    return _bounded(list(scores_by_task(rows).values()))


def accuracy(rows: RowsByStage) -> Estimate:
    """The accuracy of a candidate: the mean over all tasks of the accuracy stages; would it generalise?"""
    return mean_of_tasks(accuracy_rows(rows))


def scores_by_task(rows: Iterable[Row]) -> dict[str, list[float]]:
    """One score a problem of each task, the mean over its repeats; tasks and problems in the order of the rows."""
    return {task: [_mean(scores) for scores in problems.values()] for task, problems in clusters(rows).items()}


def clusters(rows: Iterable[Row]) -> dict[str, dict[str, list[float]]]:
    """The scores of all repeats, by task and problem, in the order of the rows."""
    tasks: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        tasks[task_of(row)][row.problem].append(row.score)
    return {task: dict(problems) for task, problems in tasks.items()}


def accuracy_rows(rows: RowsByStage) -> list[Row]:
    """The rows of the accuracy stages."""
    return [row for stage in ACCURACY_STAGES for row in rows.get(stage, ())]


def difference(ours: RowsByStage, theirs: RowsByStage) -> Estimate:
    """Accuracy of ours less theirs over the problems that both answered; nothing shared: 0 with all of [-1, 1]."""
    groups = pairs(ours, theirs)
    if not groups:
        return Estimate(value=0.0, low=-1.0, high=1.0, count=0)
    return estimate(plain(gaps(groups)), gap(groups), (-1.0, 1.0), size(groups))


def probability_at_least(ours: RowsByStage, theirs: RowsByStage, margin: float = 0.0) -> float:
    """The probability that our accuracy is at least theirs less `margin`; one half where nothing is shared."""
    groups = pairs(ours, theirs)
    if not groups:
        return 0.5
    middle = gap(groups)
    return float(special.ndtr((middle.value + margin) / middle.error))


def ratio_of_means(ours: RowsByStage, theirs: RowsByStage) -> Estimate:
    """Our accuracy as a share of theirs over the problems that both answered, by the delta method.

    Theirs must not be zero on all of them.
    """
    groups = pairs(ours, theirs)
    bottom = plain([[pair.theirs for pair in group] for group in groups])
    assert bottom > 0, "a share of nothing"
    ratio = plain([[pair.ours for pair in group] for group in groups]) / bottom
    residuals = [[pair.ours - ratio * pair.theirs for pair in group] for group in groups]
    half = Z * centre(residuals, (-ratio, 1.0), 1.0).error / bottom
    return Estimate(value=ratio, low=max(0.0, ratio - half), high=ratio + half, count=size(groups))


def pairs(ours: RowsByStage, theirs: RowsByStage) -> list[list[Pair]]:
    """The problems in both, by task."""
    return list(pairs_by_task(ours, theirs).values())


def pairs_by_task(ours: RowsByStage, theirs: RowsByStage) -> dict[str, list[Pair]]:
    """The same with the names of the tasks, see task_of; those without one are left out."""
    known = clusters(accuracy_rows(theirs))
    found = {}
    for task, problems in clusters(accuracy_rows(ours)).items():
        group = [Pair(_mean(scores), _mean(other), min(len(scores), len(other)))
                 for problem, scores in problems.items() if (other := known.get(task, {}).get(problem))]
        if group:
            found[task] = group
    return found


def gaps(groups: Sequence[Sequence[Pair]]) -> list[list[float]]:
    """Ours less theirs, problem by problem."""
    return [[pair.ours - pair.theirs for pair in group] for group in groups]


def gap(groups: Sequence[Sequence[Pair]]) -> Centre:
    """The mean difference with one pseudo-row at either end."""
    end = furthest(groups)
    return centre(gaps(groups), (-end, end), 1.0)


def furthest(groups: Sequence[Sequence[Pair]]) -> float:
    """Where the pseudo-rows of `gap` stand.

    Without repeats the ends are those of the range. The means of repeats differ by less than single rows do: there the
    ends stand as far out as the problems that differ do (root mean square), and at least at one repeat's worth.
    """
    repeats = min(pair.repeats for group in groups for pair in group)
    if repeats == 1:
        return 1.0
    differing = [one for group in gaps(groups) for one in group if one]
    return max(1 / repeats, math.sqrt(float(np.mean(np.square(differing)))) if differing else 0.0)


def _mean(scores: Sequence[float]) -> float:
    return sum(scores) / len(scores)                  # numpy's takes ten times as long for a few


def _bounded(groups: Sequence[Sequence[float]]) -> Estimate:
    return estimate(plain(groups), centre(groups, (0.0, 1.0), Z**2 / 2), (0.0, 1.0), size(groups))
