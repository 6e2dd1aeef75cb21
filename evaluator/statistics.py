"""Figures with their error bars, and comparisons of candidates over the problems they share: pure functions of rows.

Scores are in [0, 1]. Rows that all agree still leave a doubt, so intervals of bounded figures add pseudo-rows at both
ends of the range: for scores as Agresti and Coull (1998) do for a share, for paired differences as Bonett and Price
(2012) do. Tasks weigh the same, whatever their number of problems.
"""
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from evaluator.report import Estimate, Row, RowsByStage

ACCURACY_STAGES = ("retrieval", "chain", "reasoning")
SPEED_STAGE = "speed"
CONFIRM_STAGE = "confirm"
LEVEL = 0.95
_Z = float(special.ndtri(0.5 + LEVEL / 2))


@dataclass(frozen=True)
class _Centre:
    """Centre and standard error of a mean over tasks, pseudo-rows counted in."""

    value: float
    error: float


def task_of(row: Row) -> str:
    """The task a row belongs to: the part of the problem's id before the first slash."""
    return f"{row.stage}/{row.problem.split('/')[0]}"


def mean(scores: Sequence[float]) -> Estimate:
    """The mean of scores in [0, 1] of one task."""
    return _bounded([scores])


def mean_of_tasks(rows: Iterable[Row]) -> Estimate:
    """The mean over tasks of the mean score of each task's rows."""
    return _bounded(list(scores_by_task(rows).values()))


def accuracy(rows: RowsByStage) -> Estimate:
    """The accuracy of a candidate: the mean over all tasks of the accuracy stages."""
    return mean_of_tasks(_accuracy_rows(rows))


def scores_by_task(rows: Iterable[Row]) -> dict[str, list[float]]:
    """The scores of each task, tasks and scores in the order of the rows."""
    tasks: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        tasks[task_of(row)].append(row.score)
    return dict(tasks)


def difference(ours: RowsByStage, theirs: RowsByStage) -> Estimate:
    """Accuracy of ours less theirs over the problems that both answered; nothing shared: 0 with all of [-1, 1]."""
    groups = _differences(ours, theirs)
    if not groups:
        return Estimate(value=0.0, low=-1.0, high=1.0, count=0)
    centre = _centre(groups, (-1.0, 1.0), 1.0)
    return _estimate(_plain(groups), centre, (-1.0, 1.0), _count(groups))


def probability_at_least(ours: RowsByStage, theirs: RowsByStage, margin: float = 0.0) -> float:
    """The probability that our accuracy is at least theirs less `margin`; one half where nothing is shared."""
    groups = _differences(ours, theirs)
    if not groups:
        return 0.5
    centre = _centre(groups, (-1.0, 1.0), 1.0)
    return float(special.ndtr((centre.value + margin) / centre.error))


def ratio_of_means(ours: RowsByStage, theirs: RowsByStage) -> Estimate:
    """Our accuracy as a share of theirs over the problems that both answered, by the delta method.

    Theirs must not be zero on all of them.
    """
    pairs = _pairs(ours, theirs)
    bottom = _plain([[b for _, b in group] for group in pairs])
    assert bottom > 0, "a share of nothing"
    ratio = _plain([[a for a, _ in group] for group in pairs]) / bottom
    residuals = [[a - ratio * b for a, b in group] for group in pairs]
    half = _Z * _centre(residuals, (-ratio, 1.0), 1.0).error / bottom
    return Estimate(value=ratio, low=max(0.0, ratio - half), high=ratio + half, count=_count(pairs))


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
    return [math.exp(float(np.mean(logs))) for _, logs in sorted(repeats.items())]


def probability_as_fast(ours: RowsByStage, theirs: RowsByStage) -> float:
    """The probability that our speed is at least theirs (Welch's t on logarithms); one half where one has none."""
    a, b = (np.log(per_repeat(rows.get(SPEED_STAGE, ()))) for rows in (ours, theirs))
    if min(len(a), len(b)) < 2:
        return 0.5
    parts = [float(np.var(x, ddof=1)) / len(x) for x in (a, b)]
    gap, spread = float(np.mean(a) - np.mean(b)), sum(parts)
    if spread == 0:
        return 0.5 + 0.5 * float(np.sign(gap))
    freedom = spread**2 / sum(part**2 / (len(x) - 1) for part, x in zip(parts, (a, b), strict=True))
    return float(special.stdtr(freedom, gap / math.sqrt(spread)))


def probability_dominates(ours: RowsByStage, theirs: RowsByStage, margin: float = 0.0) -> float:
    """The probability that we are at least as accurate (less `margin`) and as fast; the two err independently."""
    return probability_at_least(ours, theirs, margin) * probability_as_fast(ours, theirs)


def _accuracy_rows(rows: RowsByStage) -> list[Row]:
    return [row for stage in ACCURACY_STAGES for row in rows.get(stage, ())]


def _pairs(ours: RowsByStage, theirs: RowsByStage) -> list[list[tuple[float, float]]]:
    """Scores (ours, theirs) of the problems in both, by task."""
    known = {(row.stage, row.problem, row.repeat): row.score for row in _accuracy_rows(theirs)}
    tasks: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in _accuracy_rows(ours):
        key = (row.stage, row.problem, row.repeat)
        if key in known:
            tasks[task_of(row)].append((row.score, known[key]))
    return list(tasks.values())


def _differences(ours: RowsByStage, theirs: RowsByStage) -> list[list[float]]:
    return [[a - b for a, b in group] for group in _pairs(ours, theirs)]


def _bounded(groups: Sequence[Sequence[float]]) -> Estimate:
    centre = _centre(groups, (0.0, 1.0), _Z**2 / 2)
    return _estimate(_plain(groups), centre, (0.0, 1.0), _count(groups))


def _centre(groups: Sequence[Sequence[float]], ends: tuple[float, float], weight: float) -> _Centre:
    """Mean over groups of their means, after `weight` pseudo-rows at each end were shared out among the groups."""
    each = weight / len(groups)
    values, squares = [], 0.0
    for group in groups:
        rows, size = np.asarray(group, dtype=float), len(group) + 2 * each
        middle = (float(rows.sum()) + each * sum(ends)) / size
        spread = float(((rows - middle) ** 2).sum()) + each * sum((end - middle) ** 2 for end in ends)
        values.append(middle)
        squares += spread / size**2
    return _Centre(sum(values) / len(values), math.sqrt(squares) / len(values))


def _estimate(value: float, centre: _Centre, ends: tuple[float, float], count: int) -> Estimate:
    low = min(value, max(ends[0], centre.value - _Z * centre.error))
    high = max(value, min(ends[1], centre.value + _Z * centre.error))
    return Estimate(value=value, low=low, high=high, count=count)


def _plain(groups: Sequence[Sequence[float]]) -> float:
    assert groups, "a figure of no rows"
    return float(np.mean([np.mean(group) for group in groups]))


def _count(groups: Sequence[Sequence[object]]) -> int:
    return sum(len(group) for group in groups)


def _t(freedom: int) -> float:
    return float(special.stdtrit(freedom, 0.5 + LEVEL / 2))
