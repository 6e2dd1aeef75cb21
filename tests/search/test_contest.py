"""Proposers at one budget: what counts, what is credited, and that order and money decide nothing else."""
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from agent.cli.contest import as_csv, record, table
from evaluator.report import Status
from search.candidate import Entry
from search.contest import contest
from search.plot import draw_contest
from tests.search.made import dense, entry


def by(author: str, one: Entry, duplicate_of: int | None = None) -> Entry:
    return replace(one, candidate=replace(one.candidate, author=author, duplicate_of=duplicate_of))


ENTRIES = (
    dense(), by("evolve", entry(2, 0.5, 2.0, round=1)), by("evolve", entry(3, 0.6, 2.0, round=1)),
    by("evolve", entry(4, 0.9, 3.0, round=2)), by("one-shot", entry(5, 0.4, 2.5, round=1)),
    by("one-shot", entry(6, status=Status.REJECTED, round=2)), by("merge", entry(7, status=Status.DUPLICATE, round=2), 4),
    by("merge", entry(8, 0.7, 1.5, round=3, share=0.25)),
)
COSTS = {("one-shot", 1): 0.5, ("one-shot", 2): 0.5, ("merge", 2): 0.6, ("merge", 3): 0.2}


def test_each_is_judged_by_as_many_candidates_failures_included() -> None:
    found = contest(ENTRIES, COSTS)
    sides = {side.author: side for side in found.at_count}
    assert found.count == 2 and all(side.candidates == 2 for side in sides.values())
    assert [sides[name].measured for name in ("evolve", "one-shot", "merge")] == [2, 1, 2]
    assert sides["evolve"].hypervolume.value == pytest.approx(0.6, abs=0.03)
    assert sides["one-shot"].hypervolume.value == pytest.approx(0.4 * 1.5, abs=0.03)
    whole = {side.author: side for side in found.whole}
    assert whole["evolve"].hypervolume.value == pytest.approx(0.9 * 2, abs=0.05)


def test_who_finds_what_another_found_is_credited_with_it() -> None:
    merge = next(side for side in contest(ENTRIES, COSTS).at_count if side.author == "merge")
    assert max(one.accuracy.value for one in merge.best.values()) == pytest.approx(0.9)


def test_at_equal_dollars_only_whole_rounds_that_were_paid_for_count() -> None:
    found = contest(ENTRIES, COSTS)
    assert found.dollars == pytest.approx(0.8)
    assert {side.author: (side.candidates, side.dollars) for side in found.at_dollars} == {
        "one-shot": (1, 0.5), "merge": (2, pytest.approx(0.8))}
    assert contest(ENTRIES, {}).dollars is None and contest(ENTRIES, {}).at_dollars == ()


def test_operating_points_are_told_apart() -> None:
    found = contest(ENTRIES, COSTS)
    assert sorted(found.points.values()) == ["topk_ratio 0.125", "topk_ratio 0.25"]
    evolve = next(side for side in found.whole if side.author == "evolve")
    assert [found.points[key] for key in evolve.best] == ["topk_ratio 0.125"]


def test_an_area_lies_within_its_ends_and_the_order_of_entries_does_not_matter() -> None:
    found = contest(ENTRIES, COSTS)
    for side in (*found.at_count, *found.whole):
        assert side.hypervolume.low <= side.hypervolume.value <= side.hypervolume.high
    shuffled = list(ENTRIES)
    Random(1).shuffle(shuffled)
    assert record("c", contest(shuffled, COSTS)) == record("c", found)


def test_it_is_told_as_table_json_csv_and_picture(tmp_path: Path) -> None:
    found = contest(ENTRIES, COSTS)
    assert "the first 2 candidates of each" in table("c", found) and "what $0.8 paid for" in table("c", found)
    assert len(as_csv(found).splitlines()) == 1 + 3 + 2 + 3
    draw_contest(found.curves, "c $x_1$", tmp_path / "c.png")
    assert (tmp_path / "c.png").stat().st_size > 10_000
    assert table("c", contest([dense()], {})) == "campaign c: no proposer has a candidate yet"
