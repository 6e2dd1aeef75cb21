"""The guard: what cannot be believed is named, and what can is let be."""
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator import guard
from evaluator.cluster import LocalCluster
from evaluator.funnel import Funnel, MemoryBook, Silent, Work
from evaluator.guard.guarded import Guarded, Watched
from evaluator.guard.harness import Harness, HarnessChanged
from evaluator.guard.outputs import LOOP_TIMES
from evaluator.report import Estimate, Row, Status
from evaluator.stage import Problem
from tests.evaluator.own_files import rewritten
from tests.evaluator.scripted import POINT, Script, ScriptedEngine, graph, make_scripted
from vortex.compiler.chips import find_chip
from vortex.compiler.cost import Shape
from vortex.compiler.roofline import Roofline
from vortex.compiler.shapes import MODELS
from vortex.errors import EngineError

NO_FAULT = ""


@pytest.mark.parametrize(("text", "tokens", "finish", "fault"), [
    ("42", 1, "stop", NO_FAULT), ("a b c d", 4, "length", NO_FAULT), ("x x x x", 4, "length", NO_FAULT),
    ("", 1, "stop", "empty"), (" \n\t", 60, "length", "empty"),
    ("yes no " * 40, 80, "length", "repeated"), ("yes no " * 40, 80, "stop", NO_FAULT),
    ("Let us think. " + "wait " * 64, 90, "length", "repeated"), ("wait " * 40, 40, "length", NO_FAULT),
    ("so " + " ".join(str(n) for n in range(900)), 900, "length", NO_FAULT),
    ("the sum is 12 and then " * 9, 54, "length", NO_FAULT), ("the sum is 12 and then " * 30, 180, "length", "repeated"),
    ("等待" * 400, 800, "length", "repeated"), ("0." + "3" * 90, 92, "length", NO_FAULT),
    ("!" * 32, 32, "length", "not-a-number"), ("!" * 32, 32, "stop", NO_FAULT), ("!!!", 3, "length", NO_FAULT),
])
def test_outputs_that_are_no_answers(text: str, tokens: int, finish: str, fault: str) -> None:
    assert guard.output_fault(text, tokens, finish) == fault


@given(st.lists(st.text("abcdef", min_size=1), min_size=1, max_size=30), st.lists(st.text("ghij", min_size=1), max_size=50))
def test_a_cycle_that_comes_round_often_is_a_loop_whatever_stands_before(cycle: list[str], before: list[str]) -> None:
    text = " ".join([*before, *cycle * max(LOOP_TIMES, 64 // len(cycle) + 1)])
    assert guard.output_fault(text, len(text), "length") == "repeated"
    assert guard.output_fault(text, len(text), "stop") == NO_FAULT


@given(st.permutations(range(200)))
def test_words_of_which_none_comes_twice_are_no_loop(words: list[int]) -> None:
    assert guard.output_fault(" ".join(map(str, words)), 200, "length") == NO_FAULT


@pytest.mark.parametrize(("changes", "match"), [
    ({}, ""), ({"score": math.nan}, "score is nan"), ({"exact": math.inf}, "exact is inf"), ({"seconds": math.nan}, "seconds"),
    ({"seconds": -1.0}, "it took -1 s"), ({"data": {"times": [1.0, {"p50": -math.inf}]}}, r"data.times.1.p50 is -inf"),
    ({"data": {"text": "nan", "tokens": 3, "none": None}}, ""),
])
def test_rows_whose_figures_are_no_figures(changes: dict[str, Any], match: str) -> None:
    row = replace(Row(stage="chain", problem="task/1/0", score=1.0), **changes)
    found = guard.row_fault(row)
    assert (match.replace("\\", "") in found) if match else found == ""


def timed(problem: str = "b8-c8192", **data: object) -> Row:
    body = {"step_ms": 2.0, "dense_step_ms": 6.0, "bytes_per_step": 1, "dense_bytes_per_step": 4, **data}
    return Row(stage="speed", problem=problem, score=3.0, data=body)


def estimate(low: float) -> Estimate:
    return Estimate(value=low, low=low, high=low, count=5)


@pytest.mark.parametrize(("rows", "low", "match"), [
    ([timed()], 3.0, ""), ([timed()], 8.0, ""),
    ([timed()], 9.0, r"9\.00x the speed of dense decode, while the bytes read allow 8\.00x at most"),
    ([timed("speed/b8-c8192/confirm/0")], 9.0, "allow 8.00x"),
    ([timed(step_ms=0.0)], 3.0, "repeat 0: step_ms is 0.0, which no clock gives"),
    ([timed(step_ms=math.nan)], 3.0, "step_ms is nan"), ([timed(dense_step_ms=-1.0)], 3.0, "dense_step_ms is -1.0"),
    ([timed(floor_ms=1.9, device="NVIDIA H200")], 3.0, ""),
    ([timed(floor_ms=2.1, device="NVIDIA H200")], 3.0, r"a step took 2\.000 ms, while NVIDIA H200 reads its bytes in 2\.100 ms"),
    ([timed(floor_ms=2.1, device="H200"), timed(step_ms=2.2, floor_ms=2.1), timed(step_ms=2.3, floor_ms=2.1)], 3.0, ""),
])
def test_times_that_cannot_be_are_kept_apart_with_figure_and_bound(rows: list[Row], low: float, match: str) -> None:
    found = guard.beyond_roofline(estimate(low), rows)
    assert match.replace("\\", "") in found if match else found == ""


def test_the_floor_of_a_step_is_below_the_roofline_of_its_chip_and_unknown_elsewhere() -> None:
    model, chip = MODELS["qwen3-1.7b"], find_chip("H200")
    shape = Shape(context=32_768, layers=model.layers, kv_heads=model.kv_heads)
    floor = guard.step_floor(None, POINT, model.geometry(16), shape, 8, "NVIDIA H200")
    whole_ms = 1000 * Roofline(model=model, chip=chip).step_s(None, POINT, 8, 32_768)
    assert 0.7 * whole_ms < floor["floor_ms"] < whole_ms
    small = guard.step_floor(None, POINT, model.geometry(16), Shape(context=64, layers=2, kv_heads=1), 1, "NVIDIA H200")
    assert small["floor_ms"] == 0                            # the cache may hold all of it
    assert guard.step_floor(None, POINT, model.geometry(16), shape, 8, "cpu") == {"device": "cpu"}


def answers(pace_s: float, count: int = 8) -> list[Row]:
    return [Row(stage="chain", problem=f"chain/1/{i}", score=1.0, data={"tokens": 11, "decode_s": 10 * pace_s})
            for i in range(count)]


@pytest.mark.parametrize(("rows", "match"), [
    (answers(0.1), ""), (answers(0.03), ""), (answers(0.01), "tokens come 10.00x as fast as dense decode's on 8 problems"),
    (answers(0.01, count=3), ""), ([], ""), (answers(0.0), "chain/1/0: 11 tokens were decoded in 0 s"),
])
def test_answers_that_come_faster_than_their_bytes_allow(rows: list[Row], match: str) -> None:
    found = guard.beyond_pace(rows, answers(0.1), allowed=4.0)
    assert match in found if match else found == ""


# our own files

@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, text in {"vortex/a.py": "a = 1\n", "evaluator/tasks/set.jsonl": "{}\n", "search/notes.tmp": "x"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def taken(root: Path) -> Harness:
    return Harness.taken(root, ("vortex", "evaluator", "search"))


def test_files_that_stay_come_go_or_change_are_told_by_name(files: Path) -> None:
    harness = taken(files)
    assert sorted(harness.digests) == ["evaluator/tasks/set.jsonl", "vortex/a.py"] and harness.changed() == []
    rewritten(files / "vortex/a.py", "a = 1\n")
    assert harness.changed() == [] and taken(files).fingerprint == harness.fingerprint
    rewritten(files / "vortex/a.py", "a = 2\n")
    (files / "evaluator/new.py").write_text("")
    (files / "evaluator/tasks/set.jsonl").unlink()
    (files / "evaluator/.#new.py").symlink_to("an editor's lock, which leads nowhere")
    assert harness.changed() == ["evaluator/new.py", "evaluator/tasks/set.jsonl", "vortex/a.py"]
    assert taken(files).fingerprint != harness.fingerprint
    with pytest.raises(HarnessChanged, match=r"own files changed on this machine while it ran: evaluator/new\.py, ") as refusal:
        harness.check()
    assert "then resume" in refusal.value.hint
    shutil.rmtree(files / "vortex")
    assert "vortex/a.py" in harness.changed(thorough=True)


def test_a_change_that_keeps_size_and_time_is_found_by_reading_all(files: Path) -> None:
    harness = taken(files)
    rewritten(files / "vortex/a.py", "a = 3\n", same_times=True)
    assert harness.changed() == [] and harness.changed(thorough=True) == ["vortex/a.py"]


def test_a_changed_file_ends_the_run_and_blames_no_candidate(files: Path) -> None:
    """The worker's own look finds it as well: here the driver's is at other files."""
    book, runner = MemoryBook(), Guarded(LocalCluster(make_scripted), taken(files))
    work = Work(name="a", source="", graph=graph("a"), point=POINT)
    rewritten(files / "vortex/a.py", "a = 4\n")
    with pytest.raises(HarnessChanged, match=r"vortex/a\.py"):
        Funnel([Script((1.0, 1.0))], runner).judge(work, book, Silent())
    assert book.results == {}


def test_a_worker_with_other_files_is_refused_before_it_begins(files: Path) -> None:
    runner = Guarded(LocalCluster(make_scripted), taken(files))
    script = Script((1.0,))
    with pytest.raises(EngineError, match="files of the platform are not the driver's"):
        list(runner.stream(script, graph(), POINT, script.problems(POINT), set(), 60.0))
    assert script.log == []


@pytest.mark.parametrize("same_times", [False, True])
def test_a_change_during_a_stage_is_found_at_its_end(files: Path, monkeypatch: pytest.MonkeyPatch, same_times: bool) -> None:
    harness = taken(files)
    monkeypatch.setattr("evaluator.guard.guarded.harness", lambda: harness)
    script = Script((1.0,))
    run = Watched(script, harness.fingerprint).run(ScriptedEngine(), None, POINT, script.problems(POINT), ())
    assert next(run).problem == "task/0"
    rewritten(files / "vortex/a.py", "a = 5\n", same_times=same_times)
    with pytest.raises(Exception, match="harness-changed") as fault:
        next(run)
    assert fault.value.status is Status.INFRASTRUCTURE  # type: ignore[attr-defined]  # a JobError


def test_watched_stages_speak_for_the_stage_within(files: Path) -> None:
    script = Script((1.0, 0.5))
    watched = Watched(script, "")
    assert (watched.name, watched.timeout_s, list(watched.problems(POINT))) == ("retrieval", 60.0, list(script.problems(POINT)))
    assert isinstance(watched.problems(POINT)[0], Problem)
