"""Which candidates no other beats, over accuracy and decode speed, and how sure that is: a pure function of entries."""
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from operator import is_
from typing import Any

import moocore

from evaluator import statistics
from evaluator.report import Estimate, RowsByStage, Status
from evaluator.tasks.registry import PRESETS
from search.candidate import Candidate, Entry

CERTAIN = 0.95                        # a candidate is beaten when another dominates it with this probability
REFERENCE = (0.0, 1.0)                # accuracy and speed that the hypervolume is measured from


class Place(StrEnum):
    """`best`: nothing has better means. `near`: something has, but it may be noise. `beaten`: it is not noise."""

    BEST = "best"
    NEAR = "near"
    BEATEN = "beaten"
    CONTROL = "control"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A measured candidate and its place.

    `share` is the point's share of blocks, `bytes_per_step` what a decode step of the timed batch reads. `rival` is the
    id of the one on the frontier most likely to dominate it, `doubt` the probability that it does. `fresh` holds the rows
    of problems that the search never saw, where it was measured on them: then its figures rest on these alone.
    """

    candidate: Candidate
    accuracy: Estimate
    speed: Estimate
    share: float
    bytes_per_step: float | None
    place: Place = Place.NEAR
    rival: int | None = None
    doubt: float = 0.0
    rows: RowsByStage = field(repr=False)
    fresh: RowsByStage = field(repr=False, default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Frontier:
    """`standings` run from the slowest to the fastest, controls among them; lengths are in tokens, ascending."""

    standings: tuple[Standing, ...]
    hypervolume: float
    accuracy_lengths: tuple[int, ...]
    speed_lengths: tuple[int, ...]

    def at(self, *places: Place) -> tuple[Standing, ...]:
        return tuple(one for one in self.standings if one.place in places)

    @property
    def dense(self) -> Standing | None:
        return next((one for one in self.standings if one.candidate.is_dense), None)

    def find(self, id: int) -> Standing | None:
        return next((one for one in self.standings if one.candidate.id == id), None)


_LATEST: deque[tuple[Sequence[Entry], Frontier]] = deque(maxlen=2)


def frontier(entries: Iterable[Entry]) -> Frontier:
    """Places every entry that ended ok with accuracy and speed; the order of entries does not matter.

    Controls are reference points. Only dense competes: what dense beats is not on the frontier.
    """
    ordered = sorted(entries, key=lambda entry: entry.candidate.id)
    # A round asks for the same frontier a dozen times. Entries are frozen: the same ones have the same.
    for known, found in tuple(_LATEST):
        if len(known) == len(ordered) and all(map(is_, known, ordered)):
            return found
    found = _computed(ordered)
    _LATEST.append((ordered, found))
    return found


def _computed(ordered: Sequence[Entry]) -> Frontier:
    measured = [one for entry in ordered if (one := _measured(entry)) is not None]
    competing = [one for one in measured if one.candidate.tier != "control" or one.candidate.is_dense]
    # Only those with the best means are asked whether they beat another: who is beaten is beaten by one of them.
    best = [one for one, rank in zip(competing, ranks([_means(one) for one in competing]), strict=True) if rank == 0]
    placed = [_placed(one, best) for one in measured]
    contexts = {int(c) for entry in ordered for c in _facts(entry).get("context", ())}
    return Frontier(standings=tuple(sorted(placed, key=lambda one: (one.speed.value, one.candidate.id))),
                    hypervolume=hypervolume([_means(one) for one in competing if not one.candidate.is_dense]),
                    accuracy_lengths=_accuracy_lengths(measured), speed_lengths=tuple(sorted(contexts)))


def hypervolume(points: Sequence[tuple[float, float]]) -> float:
    """The area that (accuracy, speed) points dominate, counted from accuracy 0 and speed 1."""
    return float(moocore.hypervolume(points, ref=REFERENCE, maximise=True)) if points else 0.0


def ranks(points: Sequence[tuple[float, float]]) -> list[int]:
    """For each (accuracy, speed): 0 when no other dominates it, 1 when only those of rank 0 do, and so on."""
    return [int(rank) for rank in moocore.pareto_rank(points, maximise=True)] if points else []


def probability_dominates(one: Standing, other: Standing) -> float:
    """The probability that `one` is at least as accurate and as fast as `other`, over the problems both answered."""
    return statistics.probability_dominates(*shared(one, other))


def shared(one: Standing, other: Standing) -> tuple[RowsByStage, RowsByStage]:
    """The rows that two are compared by: of fresh problems where both have them, else of the search's."""
    return (one.fresh, other.fresh) if one.fresh and other.fresh else (one.rows, other.rows)


def _measured(entry: Entry) -> Standing | None:
    """The entry's figures; None where it did not end ok, or lacks accuracy or speed."""
    candidate, rows = entry.candidate, entry.by_stage
    accurate = any(stage in rows for stage in statistics.ACCURACY_STAGES)
    if candidate.status is not Status.OK or not accurate or len(rows.get(statistics.SPEED_STAGE, ())) < 2:
        return None
    fresh = _fresh(entry, rows)
    figures = fresh or rows
    return Standing(candidate=candidate, accuracy=statistics.accuracy(figures), speed=statistics.speed(figures),
                    share=candidate.point.topk_ratio, bytes_per_step=_facts(entry).get("bytes_per_step"), rows=rows,
                    fresh=fresh, place=Place.CONTROL if candidate.tier == "control" else Place.NEAR)


def _fresh(entry: Entry, rows: RowsByStage) -> RowsByStage:
    """Those of the confirm stage, once it was measured to its end."""
    result = entry.report.result(statistics.CONFIRM_STAGE)
    done = result is not None and result.status is Status.OK
    return statistics.split_confirm(rows.get(statistics.CONFIRM_STAGE, ())) if done else {}


def _facts(entry: Entry) -> dict[str, Any]:
    result = entry.report.result(statistics.SPEED_STAGE)
    return dict(result.facts) if result else {}


def _means(one: Standing) -> tuple[float, float]:
    return one.accuracy.value, one.speed.value


def _placed(one: Standing, best: Sequence[Standing]) -> Standing:
    """Its place, and the one of `best` that most likely dominates it."""
    ahead = [other for other in best if _is_ahead(other, one)]
    if not ahead:
        return one if one.place is Place.CONTROL else replace(one, place=Place.BEST)
    doubt, minus_id = max((probability_dominates(other, one), -other.candidate.id) for other in ahead)
    placed = replace(one, rival=-minus_id, doubt=doubt)
    return replace(placed, place=Place.BEATEN) if doubt >= CERTAIN and one.place is Place.NEAR else placed


def _is_ahead(other: Standing, one: Standing) -> bool:
    """By the means alone; equals are not ahead of each other."""
    (accuracy, speed), (least_accuracy, least_speed) = _means(other), _means(one)
    return accuracy >= least_accuracy and speed >= least_speed and (accuracy, speed) != (least_accuracy, least_speed)


def _accuracy_lengths(standings: Sequence[Standing]) -> tuple[int, ...]:
    tasks = {row.problem.split("/")[0] for one in standings for stage in statistics.ACCURACY_STAGES
             for row in one.rows.get(stage, ())}
    return tuple(sorted({PRESETS[task].settings["length"] for task in tasks if task in PRESETS}))
