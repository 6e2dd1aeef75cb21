"""Proposers compared at one budget: of candidates, of dollars, and at each operating point; a pure function of entries."""
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evaluator.report import Estimate
from search.candidate import Candidate, Entry
from search.frontier import Standing, frontier, hypervolume

Costs = Mapping[tuple[str, int], float]           # dollars of a proposer in a round


@dataclass(frozen=True, kw_only=True)
class Side:
    """One proposer within a budget: its first candidates, in the order in which it proposed them.

    A candidate that was known already counts with the figures of the one it is the same as: who came first is chance.
    `hypervolume` counts from accuracy 0 and speed 1; its ends take every figure at that end of its own interval. `best` is
    the most accurate candidate at each operating point, by the point's hash.
    """

    author: str
    candidates: int
    measured: int
    dollars: float
    hypervolume: Estimate
    best: Mapping[str, Standing]


@dataclass(frozen=True, kw_only=True)
class Contest:
    """`count` and `dollars` are what the proposer with the least had; only those that cost something meet at dollars.

    `whole` is each with all that it did. `points` are the operating points that were measured, by hash. `curves` give the
    hypervolume after each candidate, with the dollars spent until then.
    """

    count: int
    at_count: tuple[Side, ...]
    dollars: float | None
    at_dollars: tuple[Side, ...]
    whole: tuple[Side, ...]
    points: Mapping[str, str]
    curves: Mapping[str, tuple[tuple[int, float, float], ...]]


def contest(entries: Iterable[Entry], costs: Costs) -> Contest:
    """Every author but that of the controls; candidates that are still being judged do not count."""
    kept = list(entries)
    standings = {one.candidate.id: one for one in frontier(kept).standings}
    standings |= {e.candidate.id: standings[first] for e in kept if (first := e.candidate.duplicate_of) in standings and first}
    ordered = sorted((e.candidate for e in kept if e.candidate.tier != "control" and e.candidate.status is not None),
                     key=lambda one: (one.round, one.slot))
    sides = {author: [one for one in ordered if one.author == author] for author in dict.fromkeys(o.author for o in ordered)}
    count = min(map(len, sides.values()), default=0)
    paid = {author: spent for author in sides if (spent := _spent(author, costs)) > 0}
    dollars = min(paid.values(), default=None)
    return Contest(
        count=count, dollars=dollars, points=_points([one.candidate for one in standings.values()]),
        at_count=tuple(_side(author, own[:count], standings, costs) for author, own in sides.items()),
        at_dollars=tuple(_side(author, _within(author, sides[author], costs, dollars or 0.0), standings, costs)
                         for author in paid),
        whole=tuple(_side(author, own, standings, costs) for author, own in sides.items()),
        curves={author: tuple(_curve(author, own, standings, costs)) for author, own in sides.items()})


def _spent(author: str, costs: Costs, until: int | None = None) -> float:
    """Dollars of all rounds, or of those up to and with `until`."""
    return sum(cost for (name, round), cost in costs.items() if name == author and (until is None or round <= until))


def _within(author: str, own: Sequence[Candidate], costs: Costs, dollars: float) -> list[Candidate]:
    """Those of the rounds that `dollars` paid for in whole."""
    return [one for one in own if _spent(author, costs, one.round) <= dollars * (1 + 1e-9)]


def _side(author: str, own: Sequence[Candidate], standings: Mapping[int, Standing], costs: Costs) -> Side:
    measured = [standings[one.id] for one in own if one.id in standings]
    best: dict[str, Standing] = {}
    for one in sorted(measured, key=lambda one: (-one.accuracy.value, -one.speed.value, one.candidate.id)):
        best.setdefault(one.candidate.point.hash, one)
    volumes = [hypervolume([ends(one) for one in measured]) for ends in (_low, _mean, _high)]
    area = Estimate(low=volumes[0], value=volumes[1], high=volumes[2], count=len(measured))
    last = max((one.round for one in own), default=0)
    return Side(author=author, candidates=len(own), measured=len(measured), dollars=_spent(author, costs, last),
                hypervolume=area, best=best)


def _low(one: Standing) -> tuple[float, float]:
    return one.accuracy.low, one.speed.low


def _mean(one: Standing) -> tuple[float, float]:
    return one.accuracy.value, one.speed.value


def _high(one: Standing) -> tuple[float, float]:
    return one.accuracy.high, one.speed.high


def _curve(author: str, own: Sequence[Candidate], standings: Mapping[int, Standing],
           costs: Costs) -> Iterable[tuple[int, float, float]]:
    found: list[tuple[float, float]] = []
    for number, one in enumerate(own, start=1):
        if one.id in standings:
            found.append(_mean(standings[one.id]))
        yield number, _spent(author, costs, one.round), hypervolume(found)


def _points(candidates: Sequence[Candidate]) -> dict[str, str]:
    """Each point by what tells it from the others: `topk_ratio 0.125`."""
    points = {one.point.hash: one.point.model_dump(mode="json") for one in candidates if not one.is_dense}
    if not points:
        return {}
    differing = [name for name in next(iter(points.values())) if len({str(point[name]) for point in points.values()}) > 1]
    told = {key: ", ".join(f"{name} {point[name]}" for name in differing) or "the point" for key, point in points.items()}
    return dict(sorted(told.items(), key=lambda item: item[1]))
