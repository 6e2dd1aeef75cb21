"""Recorded timings: what stands in the file is replayed, what is missing is taken once and written down."""
import json
import os
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from evaluator.cluster import LocalCluster
from evaluator.recorded import RecordedTimings, Timings
from evaluator.stage import Answered, Problem
from tests.evaluator.scripted import POINT, Script, graph, make_scripted
from vortex.errors import CampaignError


@dataclass(frozen=True)
class Timed(Script):
    """A script of the speed stage."""

    name: str = "speed"
    log: list[str] = field(default_factory=list)


def play(path: Path, script: Script, done: frozenset[tuple[str, int]] = frozenset(), flow: str = "a") -> list[Answered]:
    runner = RecordedTimings(LocalCluster(make_scripted), Timings(path))
    return list(runner.stream(script, graph(flow), POINT, script.problems(POINT), done, 60.0))


def test_a_second_run_repeats_the_first_and_takes_no_timing(tmp_path: Path) -> None:
    first, second = Timed((1.0, 2.0)), Timed((9.0, 9.0))
    taken = play(tmp_path / "t.jsonl", first)
    assert play(tmp_path / "t.jsonl", second) == taken
    assert (first.log, second.log) == (["task/0", "task/1"], [])


def test_what_is_missing_is_taken_after_what_is_on_record(tmp_path: Path) -> None:
    play(tmp_path / "t.jsonl", Timed((1.0,)))
    script = Timed((9.0, 2.0))
    assert [a.data["score"] for a in play(tmp_path / "t.jsonl", script)] == [1.0, 2.0]
    assert script.log == ["task/1"]


def test_rows_that_are_done_are_not_replayed(tmp_path: Path) -> None:
    play(tmp_path / "t.jsonl", Timed((1.0, 2.0)))
    answers = play(tmp_path / "t.jsonl", Timed((9.0, 9.0)), done=frozenset({("task/0", 0)}))
    assert [a.problem for a in answers] == ["task/1"]


def test_a_line_cut_short_by_a_kill_is_taken_again(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    play(path, Timed((1.0, 2.0)))
    path.write_text(path.read_text()[:-9])
    script = Timed((9.0, 3.0))
    assert [a.data["score"] for a in play(path, script)] == [1.0, 3.0]
    assert [a.data["score"] for a in play(path, Timed((0.0, 0.0)))] == [1.0, 3.0]


def test_other_flows_and_other_stages_are_not_on_record(tmp_path: Path) -> None:
    play(tmp_path / "t.jsonl", Timed((1.0,)), flow="a")
    other, accuracy = Timed((2.0,)), Script((3.0,))
    assert play(tmp_path / "t.jsonl", other, flow="b")[0].data["score"] == 2.0
    assert play(tmp_path / "t.jsonl", accuracy)[0].data["score"] == 3.0
    assert accuracy.log == ["task/0"]


WHOLE = json.dumps({"key": ["dense", "p", "b1-c64", 0], "answered": {"problem": "b1-c64", "repeat": 0}}) + "\n"


@pytest.mark.parametrize(("text", "line", "shown"), [
    ("my notes", 1, "my notes"), ("my notes\n", 1, "my notes"), ("\n", 1, ""), ("{}\n", 1, "{}"), ("[1]\n", 1, "[1]"),
    (f"{WHOLE}name,score\n", 2, "name,score"), (f"{WHOLE}name,score", 2, "name,score"), (f"name,score\n{WHOLE[:-9]}", 1, "name"),
    (WHOLE.replace('"p"', "[]"), 1, '{"key"'), (WHOLE.replace('"repeat": 0', '"repeat": 1'), 1, '{"key"'),
    (WHOLE.replace("repeat", "times"), 1, '{"key"'), ("x" * 500, 1, "x" * 80),
])
def test_a_file_that_holds_anything_else_is_refused_and_left_as_it_is(tmp_path: Path, text: str, line: int, shown: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(text)
    with pytest.raises(CampaignError, match=f"line {line} is no timing") as refusal:
        Timings(path)
    where = refusal.value.where
    assert (where.path, where.line) == (str(path), line) and where.text.startswith(shown) and len(where.text) <= 80
    assert refusal.value.hint and path.read_text() == text


@pytest.mark.parametrize("torn", ["", "{", '{"key": ["', WHOLE[:40], WHOLE[:-1]])
def test_the_beginning_of_a_timing_is_taken_off(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(WHOLE + torn)
    assert Timings(path).get(("dense", "p", "b1-c64", 0)) == Answered(problem="b1-c64")
    assert path.read_text() == WHOLE


@pytest.mark.parametrize(("name", "match"), [("", "it is a folder"), ("none/t.jsonl", "there is no folder"),
                                             ("file/t.jsonl", "there is no folder"), ("x" * 300, "File name too long")])
def test_places_where_no_file_can_be_are_refused_at_once(tmp_path: Path, name: str, match: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CampaignError, match=match) as refusal:
        Timings(tmp_path / name)
    assert refusal.value.hint and refusal.value.where.path == str(tmp_path / name)


@pytest.mark.parametrize("there", [False, True])
def test_a_file_that_may_not_be_written_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    path = tmp_path / "t.jsonl"
    if there:
        path.touch()
    monkeypatch.setattr(os, "access", lambda place, mode: False)      # the superuser may write everywhere
    with pytest.raises(CampaignError, match="may not be read and written"):
        Timings(path)
    assert path.exists() is there


def test_a_place_that_goes_away_meanwhile_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "mounted"
    folder.mkdir()
    timings = Timings(folder / "t.jsonl")
    folder.rmdir()
    with pytest.raises(CampaignError, match="timings cannot be kept"):
        timings.add(("dense", "p", "b1-c64", 0), Answered(problem="b1-c64"))


@dataclass
class Asked:
    """A Runner that notes what it is asked for."""

    slots: int = 1
    asked: list[tuple[list[str], float]] = field(default_factory=list)

    def stream(self, stage: Any, graph: Any, point: Any, problems: Sequence[Problem], done: Collection[tuple[str, int]],
               timeout_s: float) -> Generator[Answered, None, None]:
        self.asked.append(([one.id for one in problems], timeout_s))
        yield from (Answered(problem=one.id) for one in problems)


def test_answers_and_timings_of_an_exam_are_asked_for_at_once_and_share_its_time(tmp_path: Path) -> None:
    exam, inner = Script((), name="confirm"), Asked()
    answer, first, second = (Problem(id=id, ask={}) for id in ("chain/a/confirm/0", "speed/b1-c64", "speed/b8-c64"))
    for given, asked in (((answer, first), [answer, first]), ((answer, first, second), [answer, second]),
                         ((answer, first, second), [answer]), ((first, second), [])):
        inner.asked.clear()
        runner = RecordedTimings(inner, Timings(tmp_path / "t.jsonl"))
        assert [one.problem for one in runner.stream(exam, None, POINT, given, (), 60.0)] == [one.id for one in given]
        assert inner.asked == ([([one.id for one in asked], 60.0)] if asked else [])
