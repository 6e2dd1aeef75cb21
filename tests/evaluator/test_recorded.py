"""Recorded timings: what stands in the file is replayed, what is missing is taken once and written down."""
from dataclasses import dataclass, field
from pathlib import Path

from evaluator.cluster import LocalCluster
from evaluator.recorded import RecordedTimings
from evaluator.stage import Answered
from tests.evaluator.scripted import POINT, Script, graph, make_scripted


@dataclass(frozen=True)
class Timed(Script):
    """A script of the speed stage."""

    name: str = "speed"
    log: list[str] = field(default_factory=list)


def play(path: Path, script: Script, done: frozenset[tuple[str, int]] = frozenset(), flow: str = "a") -> list[Answered]:
    runner = RecordedTimings(LocalCluster(make_scripted), path)
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
