"""Parents: drawn from finished rounds by merit, the same ones whatever the order of arrival."""
import math
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator.report import Status
from search.candidate import Entry
from search.selection import choose, crowding
from tests.search.made import dense, entry

FIELD = [dense(), entry(2, 0.9, 2.0, round=1), entry(3, 0.5, 4.0, round=1), entry(4, 0.3, 1.2, round=2),
         entry(5, 0.7, 1.5, tier="control", name="centroid", round=0), entry(6, 0.95, 5.0, round=3),
         entry(7, status=Status.GATE, round=1)]


def drawn(entries: list[Entry], before: int = 3, count: int = 400, seed: int = 0) -> list[int]:
    return [one.candidate.id for one in choose(entries, before, Random(seed), count)]


def test_parents_come_from_finished_rounds_were_measured_and_have_a_graph() -> None:
    without = Entry(candidate=entry(8, 0.99, 9.0).candidate, report=FIELD[1].report, rows=FIELD[1].rows)
    object.__setattr__(without.candidate.flow, "graph_json", None)
    assert set(drawn([*FIELD, without])) == {2, 3, 4, 5}
    assert set(drawn(FIELD, before=4)) == {2, 3, 4, 5, 6}


def test_the_better_are_drawn_more_often_and_the_controls_stay_in_play() -> None:
    times = Counter(drawn(FIELD))
    assert min(times[2], times[3]) > times[4] > 0
    assert times[5] > 50


@pytest.mark.parametrize("entries", [[], [dense()], [entry(2, status=Status.GATE)], [entry(2, round=9)]])
def test_before_anything_was_measured_there_are_no_parents(entries: list[Entry]) -> None:
    assert drawn(entries) == []


@settings(max_examples=25, deadline=None)
@given(st.permutations(FIELD), st.integers(0, 2**32))
def test_the_same_rng_draws_the_same_whatever_came_first(entries: list[Entry], seed: int) -> None:
    assert drawn(entries, seed=seed, count=8) == drawn(FIELD, seed=seed, count=8)


@pytest.mark.parametrize(("points", "distances"), [
    ([], []), ([(0.5, 1.0)], [math.inf]), ([(0.1, 3.0), (0.9, 1.0)], [math.inf, math.inf]),
    ([(0.0, 4.0), (0.5, 3.0), (0.6, 2.0), (1.0, 0.0)], [math.inf, 0.6 + 0.5, 0.5 + 0.75, math.inf]),
    ([(0.5, 1.0)] * 3, [math.inf, 0.0, math.inf]),
])
def test_crowding_is_the_distance_of_the_neighbours(points: list[tuple[float, float]], distances: list[float]) -> None:
    assert crowding(points) == pytest.approx(distances)
