"""The smallest difference a stage can see, before it is bought."""
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from evaluator.report import Row
from evaluator.statistics.repeats import within
from evaluator.statistics.scores import clusters

_ROUNDS = 60                                # the fixed point halves its error each time
Scores = Mapping[str, Sequence[float]]      # of the repeats, by problem


def detectable(known: Sequence[Row] | float | None, problems: int, repeats: int = 1, *,
               others: Sequence[Sequence[Row]] = (), power: float = 0.8, level: float = 0.05, correlation: float = 0.0) -> float:
    """The difference of two accuracies that the interval of `difference` tells from zero with probability `power`.

    `known`: rows of dense decode, or a guess at its accuracy, or nothing (1/2, where noise is greatest). What of its variance
    lies between problems, and so cancels in a pair, is told by repeats or by rows of `others`, algorithms that answered the
    same problems. Where neither is there this is a bound, see is_bound, taken with `correlation` of two flows' answers to a
    problem (0: the safe assumption). `level` is two-sided. What is lost is taken to be lost alike on all problems. 1 where
    nothing in [0, 1] can be seen.
    """
    tasks = _tasks(known, others)
    share = float(np.mean([task.share for task in tasks]))
    alpha, beta = float(special.ndtri(1 - level / 2)), float(special.ndtri(power))
    found = needed = 0.0
    for _ in range(_ROUNDS):
        spread = float(np.mean([task.spread(found / share if share else 1.0, repeats) for task in tasks])) * (1 - correlation)
        end = 1.0 if repeats == 1 else max(1 / repeats, math.sqrt(spread))
        needed = alpha * math.sqrt(problems * spread + 2 * end**2) + beta * math.sqrt(problems * spread)
        found = (found + min(needed / problems, 1.0)) / 2
    return found if found <= max(share, 1 - share) else 1.0


def is_bound(known: Sequence[Row] | float | None, others: Sequence[Sequence[Row]] = ()) -> bool:
    """Whether the rows leave open what two flows share, so that `detectable` says "at most"."""
    return any(task.between is None for task in _tasks(known, others))


@dataclass(frozen=True)
class _Task:
    """Of dense decode's scores of a task: the mean, the variance, and what of that lies between problems; None: not known.

    `binary`: a flow's variance as a share of p(1 - p), which it is of answers that are right or wrong.
    """

    share: float
    variance: float
    between: float | None = None
    binary: float = 1.0

    def spread(self, lost: float, repeats: int) -> float:
        """The variance of a problem's difference to a flow that has `lost` this share of the accuracy."""
        if self.between is None:
            # A loss at problems that were nearly always solved adds as much noise as it takes accuracy: the worst case.
            gap = lost * self.share
            return (self.variance + min(0.25, self.variance + gap * (1 - gap))) / repeats
        kept = max(0.0, 1 - lost)
        theirs = self.binary * kept * self.share * (1 - kept * self.share)
        noise = self.variance - self.between + max(0.0, theirs - kept**2 * self.between)
        return noise / repeats + (1 - kept) ** 2 * self.between


def _tasks(known: Sequence[Row] | float | None, others: Sequence[Sequence[Row]]) -> list[_Task]:
    if known is None or isinstance(known, float | int):
        share = 0.5 if known is None else float(known)
        return [_Task(share, share * (1 - share))]
    answered = [clusters(rows) for rows in others]
    return [_task(scores, [other[task] for other in answered if task in other]) for task, scores in clusters(known).items()]


def _task(dense: Scores, others: Sequence[Scores]) -> _Task:
    means = {problem: float(np.mean(scores)) for problem, scores in dense.items()}
    share, noise = float(np.mean(list(means.values()))), within(dense)
    if any(len(scores) > 1 for scores in dense.values()):
        again = noise * float(np.mean([1 / len(scores) for scores in dense.values()]))
        between = max(0.0, float(np.var(list(means.values()))) - again)
        return _Task(share, noise + between, between, _binary(noise + between, share))
    variance = float(np.var(list(means.values())))
    pairs = [found for other in others if len(found := _pairs(means, other)) > 1]
    kept = sum(float(theirs.mean()) for theirs in (one[:, 1] for one in pairs))
    if not kept or not share:
        return _Task(share, share * (1 - share))
    # A flow that keeps f of the accuracy has f of the variance between problems in common with dense decode.
    common = sum(float(np.cov(one.T, ddof=0)[0, 1]) for one in pairs)
    between = min(variance, max(0.0, common * share / kept))
    return _Task(share, variance, between,
                 max(_binary(float(np.var(one)), float(np.mean(one))) for pair in pairs for one in pair.T))


def _pairs(means: Mapping[str, float], other: Scores) -> np.ndarray:
    """Dense decode's score and the other's, problem by problem."""
    return np.array([(means[problem], float(np.mean(scores))) for problem, scores in other.items() if problem in means])


def _binary(variance: float, share: float) -> float:
    return min(1.0, variance / (share * (1 - share))) if 0 < share < 1 else 1.0
