"""Rank correlation of each cheap figure with what flows really score, with bootstrap intervals over flows; and who passes.

A proxy passes when, in that condition, its Spearman correlation (the sign turned so that 1 is right) has an interval that
lies above `LEAST_RHO`, and the filter made of it turns away at most `MOST_FALSE` of the flows worth keeping and at least
`LEAST_TURNED` of the others. The limit is chosen on one half of the flows and judged on the other half, many times.
"""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from scipy import stats
from study_flows import CONTROL, EQUAL, FILE, read_file
from study_proxies import PROXIES as FIGURES
from study_proxies import SAMPLES

from evaluator.traces.judge import excess
from evaluator.traces.names import PROXIES, loss

LEAST_RHO, MOST_FALSE, LEAST_TURNED = 0.7, 0.05, 0.3
TIMES = (2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0)
KEEP = 0.85                               # of the control's accuracy: what a flow must score to be worth keeping
DRAWS, SEED = 2000, 0
Values: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.float64]]"
FILES = {"equal": EQUAL, "point": FILE}
CONDITIONS = {"equal": "at equal bytes", "point": "at the same share of blocks"}


@dataclass(frozen=True, kw_only=True)
class Flow:
    """A flow of one condition: what it scores, and its losses by proxy, one a trajectory."""

    name: str
    origin: str
    accuracy: float
    few: tuple[float, float]              # the same of FEW problems a task, and of all the others
    losses: Mapping[str, Sequence[float]]
    share: float

    def loss(self, proxy: str) -> float:
        return float(np.mean(self.losses[proxy]))


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Turned away at `times` the control's loss: shares of the flows worth keeping, and of the others."""

    times: float
    false_rejects: float
    true_rejects: float


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """`held_out`: the mean shares over halves that had no say in the limit; None where no limit could be chosen."""

    proxy: str
    rho: tuple[float, float, float]       # Spearman, and its 95 % interval
    tau: tuple[float, float, float]       # Kendall (b)
    among_good: float                     # Spearman among the flows worth keeping
    filter: Filter | None
    held_out: tuple[float, float] | None
    passes: bool


def flows_of(condition: str) -> list[Flow]:
    """All but dense, in the order they were recorded."""
    figures = read_file(FIGURES)["figures"][condition]
    return [_flow(one, figures[one["hash"]]) for one in read_file(FILES[condition])["flows"] if one["hash"] in figures]


def _flow(one: Mapping[str, Any], figures: Sequence[Mapping[str, Any]]) -> Flow:
    losses = {name: [loss(name, row[name]) for row in figures] for name in PROXIES}
    return Flow(name=one["name"], origin=one["origin"], accuracy=accuracy(one["rows"]), few=split(one["rows"]), losses=losses,
                share=figures[0]["share"])


def accuracy(rows: Sequence[Mapping[str, Any]]) -> float:
    """The mean over tasks of the mean score of each."""
    tasks: dict[str, list[float]] = {}
    for row in rows:
        tasks.setdefault(row["problem"].split("/")[0], []).append(row["score"])
    return float(np.mean([np.mean(scores) for scores in tasks.values()]))


def split(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """What as many real problems tell as there are trajectories: their accuracy, and that of all the others."""
    few = [row for row in rows if int(row["problem"].rsplit("/", 1)[1]) < SAMPLES]
    return accuracy(few), accuracy([row for row in rows if row not in few])


def few_problems(flows: Sequence[Flow]) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Spearman and Kendall of what is known after as many real problems, with all the others: what a proxy has to beat."""
    x, y = np.array([one.few[0] for one in flows]), np.array([one.few[1] for one in flows])
    return _interval(x, y, stats.spearmanr), _interval(x, y, stats.kendalltau)


def worth(flows: Sequence[Flow]) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Which flows are worth keeping: about as good as the control, or better."""
    least = KEEP * next(one.accuracy for one in flows if one.name == CONTROL)
    return np.array([one.accuracy >= least for one in flows])


def ranked(flows: Sequence[Flow], proxy: str) -> Ranked:
    x, y = np.array([-one.loss(proxy) for one in flows]), np.array([one.accuracy for one in flows])
    good = worth(flows)
    rho, tau = _interval(x, y, stats.spearmanr), _interval(x, y, stats.kendalltau)
    turned = _turned(flows, proxy)
    chosen = _chosen(turned, good, np.arange(len(flows)))
    held = _held_out(turned, good)
    passes = (rho[1] > LEAST_RHO and chosen is not None and held is not None and held[0] <= MOST_FALSE
              and held[1] >= LEAST_TURNED)
    return Ranked(proxy=proxy, rho=rho, tau=tau, among_good=float(stats.spearmanr(x[good], y[good]).statistic),
                  filter=chosen, held_out=held, passes=passes)


def _interval(x: Values, y: Values, correlation: Any) -> tuple[float, float, float]:
    rng = np.random.default_rng(SEED)
    drawn = [float(correlation(x[i], y[i]).statistic) for i in rng.integers(0, len(x), (DRAWS, len(x)))]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return float(correlation(x, y).statistic), float(low), float(high)


def _turned(flows: Sequence[Flow], proxy: str) -> Mapping[float, Values]:
    """For each limit: is a flow turned away, by the stage's own rule?"""
    control = next(one for one in flows if one.name == CONTROL).losses[proxy]
    return {times: np.array([float(excess(one.losses[proxy], control, times).low > 0) for one in flows]) for times in TIMES}


def _shares(turned: Mapping[float, Values], good: Any, among: Any, times: float) -> tuple[float, float]:
    own, keep = turned[times][among], good[among]
    return float(own[keep].mean()) if keep.any() else 0.0, float(own[~keep].mean()) if (~keep).any() else 0.0


def _chosen(turned: Mapping[float, Values], good: Any, among: Any) -> Filter | None:
    """The lowest limit that turns away none of the flows worth keeping."""
    for times in TIMES:
        false, true = _shares(turned, good, among, times)
        if false == 0.0:
            return Filter(times=times, false_rejects=false, true_rejects=true)
    return None


def _held_out(turned: Mapping[float, Values], good: Any, halves: int = 500) -> tuple[float, float] | None:
    rng, found = np.random.default_rng(SEED), []
    for _ in range(halves):
        order = rng.permutation(len(good))
        half = len(good) // 2
        chosen = _chosen(turned, good, order[:half])
        if chosen is not None:
            found.append(_shares(turned, good, order[half:], chosen.times))
    if not found:
        return None
    false, true = np.mean(found, axis=0)
    return float(false), float(true)
