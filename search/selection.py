"""The parents of a round: drawn from what finished rounds measured, by rank and crowding, with room for exploration.

Rank and crowding are those of NSGA-II (Deb et al., 2002). A share of the draws goes to candidates within noise of the
frontier and to the controls, which are the known algorithms: the search may leave a line of descent that came early.
"""
import math
from collections.abc import Iterable, Sequence
from random import Random

from search.candidate import Entry
from search.frontier import Place, Standing, frontier, ranks

EXPLORE = 0.3                         # share of draws that do not go by rank


def choose(entries: Iterable[Entry], before_round: int, rng: Random, count: int) -> tuple[Entry, ...]:
    """`count` parents, drawn one by one, so that a good one may come twice; none when nothing was measured yet.

    Reads entries of rounds before `before_round` only, in an order that does not depend on when they came. The same
    entries and the same rng give the same parents. Dense decode and candidates without a Graph are never parents.
    """
    finished = {entry.candidate.id: entry for entry in entries if entry.candidate.round < before_round}
    known = frontier(finished.values())
    pool = sorted((one for one in known.standings if _can_be_parent(one)), key=_fixed)
    if not pool:
        return ()
    fitness = _fitness(pool)
    others = [one for one in pool if one.place in (Place.NEAR, Place.CONTROL)]
    drawn = [rng.choice(others) if others and rng.random() < EXPLORE else _tournament(pool, fitness, rng)
             for _ in range(count)]
    return tuple(finished[one.candidate.id] for one in drawn)


def _can_be_parent(one: Standing) -> bool:
    return one.candidate.flow.graph_json is not None and not one.candidate.is_dense


def _fixed(one: Standing) -> tuple[str, str, int, int]:
    candidate = one.candidate
    return candidate.flow.hash, candidate.point.hash, candidate.round, candidate.slot


def _tournament(pool: Sequence[Standing], fitness: Sequence[tuple[int, float]], rng: Random) -> Standing:
    """The better of two: a lower rank, then a lonelier place."""
    first, second = rng.randrange(len(pool)), rng.randrange(len(pool))
    return pool[min(first, second, key=lambda index: (fitness[index], index))]


def _fitness(pool: Sequence[Standing]) -> list[tuple[int, float]]:
    """(rank, minus crowding distance) a candidate: less is better. Speed counts by its logarithm."""
    points = [(one.accuracy.value, math.log(one.speed.value)) for one in pool]
    rank = ranks(points)
    fitness = [(0, 0.0)] * len(pool)
    for level in set(rank):
        members = [index for index in range(len(pool)) if rank[index] == level]
        for index, distance in zip(members, crowding([points[i] for i in members]), strict=True):
            fitness[index] = (level, -distance)
    return fitness


def crowding(points: Sequence[tuple[float, float]]) -> list[float]:
    """How far apart the neighbours of each point are, in shares of the spread over both axes; at the ends infinity."""
    distance = [0.0] * len(points)
    for axis in (0, 1) if points else ():
        order = sorted(range(len(points)), key=lambda index: (points[index][axis], index))
        spread = points[order[-1]][axis] - points[order[0]][axis]
        distance[order[0]] = distance[order[-1]] = math.inf
        for before, here, after in zip(order, order[1:], order[2:], strict=False):
            if spread > 0:
                distance[here] += (points[after][axis] - points[before][axis]) / spread
    return distance
