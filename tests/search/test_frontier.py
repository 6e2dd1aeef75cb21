"""The frontier: who is on it, who is not, how surely, and what does not change that."""
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator.report import Report, Status
from search.candidate import Entry
from search.frontier import CERTAIN, Frontier, Place, frontier, hypervolume, probability_dominates, ranks
from search.why import why
from tests.search.made import dense, entry

FIGURES = st.tuples(st.floats(0.05, 1.0), st.floats(0.5, 8.0))
MANY = st.lists(FIGURES, max_size=12).map(lambda figures: [entry(i + 10, a, s) for i, (a, s) in enumerate(figures)])


def places(found: Frontier) -> dict[int, Place]:
    return {one.candidate.id: one.place for one in found.standings}


@pytest.mark.parametrize(("figures", "expected"), [
    ({2: (0.9, 2.0)}, {2: Place.BEST}),
    ({2: (0.9, 2.0), 3: (0.5, 4.0)}, {2: Place.BEST, 3: Place.BEST}),
    ({2: (0.9, 2.0), 3: (0.5, 1.5)}, {2: Place.BEST, 3: Place.BEATEN}),
    ({2: (0.9, 2.0), 3: (0.875, 1.5)}, {2: Place.BEST, 3: Place.NEAR}),
    ({2: (0.5, 0.8)}, {2: Place.BEATEN}),
], ids=["alone", "trade-off", "beaten", "noise", "worse than dense"])
def test_places(figures: dict[int, tuple[float, float]], expected: dict[int, Place]) -> None:
    found = frontier([dense(), *(entry(id, *figure) for id, figure in figures.items())])
    assert places(found) == {1: Place.CONTROL, **expected}


def test_of_two_that_answer_alike_a_hair_of_speed_beats_nobody() -> None:
    found = frontier([entry(2, 0.9, 2.0), entry(3, 0.9, 2.0)])
    slower, faster = found.standings
    assert (slower.place, faster.place) == (Place.NEAR, Place.BEST)
    assert slower.rival == faster.candidate.id and slower.doubt <= 0.5


def test_twins_stand_side_by_side() -> None:
    twin = Entry(candidate=entry(3).candidate, report=entry(2).report, rows=entry(2).rows)
    assert places(frontier([entry(2), twin])) == {2: Place.BEST, 3: Place.BEST}


def test_controls_stand_beside_the_frontier_and_only_dense_competes() -> None:
    quest = entry(2, 0.95, 4.0, tier="control", name="quest")
    found = frontier([dense(), quest, entry(3, 0.6, 2.0), entry(4, 0.5, 0.7)])
    assert places(found) == {1: Place.CONTROL, 2: Place.CONTROL, 3: Place.BEST, 4: Place.BEATEN}
    assert found.dense is not None and found.dense.candidate.id == 1
    assert found.hypervolume == pytest.approx(0.6 * 1.0, rel=0.02)
    assert [one.candidate.id for one in found.standings] == [4, 1, 3, 2]


def test_lengths_come_from_the_tasks_and_the_speed_stage() -> None:
    found = frontier([dense(), entry(2)])
    assert (found.accuracy_lengths, found.speed_lengths) == ((1024,), (8192,))


@pytest.mark.parametrize("unfinished", [
    entry(2, status=Status.GATE), entry(2, status=None),
    Entry(candidate=entry(2).candidate, report=Report(results=()), rows=entry(2).rows[:40]),
    Entry(candidate=entry(2).candidate, report=Report(results=()), rows=entry(2).rows[40:]),
], ids=["gate", "open", "no speed", "no accuracy"])
def test_what_was_not_measured_to_the_end_has_no_place(unfinished: Entry) -> None:
    assert places(frontier([dense(), unfinished])) == {1: Place.CONTROL}


def test_nothing_measured_is_an_empty_frontier() -> None:
    found = frontier([])
    assert (found.standings, found.hypervolume, found.dense) == ((), 0.0, None)


@settings(max_examples=40, deadline=None)
@given(MANY)
def test_nobody_on_the_frontier_is_dominated_and_whoever_is_beaten_has_a_sure_rival(entries: list[Entry]) -> None:
    found = frontier([dense(), *entries])
    means = {one.candidate.id: (one.accuracy.value, one.speed.value) for one in found.standings}
    best = [one.candidate.id for one in found.at(Place.BEST)]
    for id in best:
        assert not any(means[o][0] >= means[id][0] and means[o][1] >= means[id][1] and means[o] != means[id] for o in best)
    for one in found.at(Place.BEATEN):
        rival = found.find(one.rival or 0)
        assert rival is not None and probability_dominates(rival, one) == one.doubt >= CERTAIN
    for one in found.at(Place.NEAR):
        assert one.rival is not None and one.doubt < CERTAIN
    assert not entries or best or found.dense in (found.find(o.rival or 0) for o in found.standings)


@settings(max_examples=25, deadline=None)
@given(MANY, st.randoms(use_true_random=False))
def test_the_order_of_candidates_and_rows_changes_nothing(entries: list[Entry], rng: Random) -> None:
    shuffled = [Entry(candidate=e.candidate, report=e.report, rows=tuple(rng.sample(e.rows, len(e.rows))))
                for e in rng.sample(entries, len(entries))]
    assert frontier(shuffled) == frontier(entries)


@settings(max_examples=60, deadline=None)
@given(st.lists(FIGURES, max_size=10), FIGURES)
def test_hypervolume_never_falls_when_a_point_is_added(points: list[tuple[float, float]], new: tuple[float, float]) -> None:
    assert hypervolume([*points, new]) >= hypervolume(points) - 1e-12
    assert hypervolume([*points, (0.9, 0.99)]) == pytest.approx(hypervolume(points))
    assert hypervolume([new]) == pytest.approx(new[0] * max(0.0, new[1] - 1))


def test_ranks_count_the_fronts() -> None:
    assert ranks([(0.9, 1.0), (0.5, 3.0), (0.5, 1.0), (0.4, 0.5), (0.9, 1.0)]) == [0, 0, 1, 2, 0]
    assert ranks([]) == []


FIELD = [dense(), entry(2, 0.9, 3.0, tier="control", name="quest"), entry(3, 0.7, 2.0, name="winner", share=0.125),
         entry(4, 0.4, 1.5, share=0.25), entry(5, 0.675, 1.9), entry(6, 0.5, 2.2),
         entry(7, status=Status.GATE), entry(8, status=None), entry(9, status=Status.OK)]


@pytest.mark.parametrize(("index", "said"), [
    (1, ["2 is a control"]),
    (2, ["3 is on the frontier", "But a control does better: quest (2)"]),
    (3, ["4 is not on the frontier: 3 (winner) is 1.3", "x as fast and reads 0.50 of the bytes and is more accurate",
         "(difference +0.300 ±.", "P(3 dominates) = 1.00)"]),
    (4, ["5 is within noise of the frontier: 3 (winner)", "at the same accuracy (difference +0.025 ±.", "takes 0.95"]),
    (6, ["7 is not on the frontier: it ended at retrieval (below-gate). 0.31 of 0.85"]),
    (7, ["8 is not judged yet (static so far)"]),
])
def test_why_says_who_is_ahead_and_how_surely(index: int, said: list[str]) -> None:
    told = why(frontier(FIELD), FIELD[index])
    assert all(part in told for part in said), told
