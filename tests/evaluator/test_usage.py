"""Flows that attend to less where they are timed than where they answer, through the real engine; and honest ones. More of
them are on the shelf (cheats/)."""
from collections.abc import Iterator, Sequence

import pytest

from evaluator.cluster import LocalCluster
from evaluator.funnel import Funnel, MemoryBook, Silent, Work
from evaluator.guard import less_when_timed
from evaluator.report import Report, Row, Status
from evaluator.stage import Stage
from evaluator.stages import make_stage
from evaluator.stages.usage import used
from tests.evaluator.cheats.engines import POINT
from tests.evaluator.cheats.shelf import GEOMETRY
from tests.evaluator.cheats.texts import scored
from vortex import flows
from vortex.compiler.front import load
from vortex.serving.embedded.engine import EmbeddedEngine

TASKS = make_stage("retrieval", {"tasks": ["multikey-512-full"], "samples": 2})
TIMES = make_stage("speed", {"batch": 1, "context": 2048, "steps": 1, "repeats": 2, "warmup": 0})


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    opened = LocalCluster(lambda name: EmbeddedEngine())
    yield opened
    opened.stop()


def judged(cluster: LocalCluster, text: str, stages: Sequence[Stage]) -> tuple[Report, MemoryBook]:
    book = MemoryBook()
    work = Work(name="made", source=text, graph=load(text, "<made>", GEOMETRY), point=POINT)
    return Funnel(stages, cluster).judge(work, book, Silent()), book


@pytest.mark.parametrize("stages", [(TASKS, TIMES), (TIMES, TASKS)])
def test_who_attends_to_less_where_it_is_timed_is_turned_away(cluster: LocalCluster, stages: Sequence[Stage]) -> None:
    report, _ = judged(cluster, scored("return ops.topk(score, k=24)"), stages)
    assert [one.status for one in report.results] == [Status.OK, Status.GATE]
    assert report.results[-1].code == "less-when-timed"
    assert "times its budget where it is timed (b1-c2048)" in report.results[-1].message


@pytest.mark.parametrize("selects", ["return ops.topk(score)", "return ops.top_p(score, 0.9)"])
def test_who_attends_alike_passes(cluster: LocalCluster, selects: str) -> None:
    report, book = judged(cluster, scored(selects), (TIMES, TASKS))
    assert report.status is Status.OK
    told = [(row.stage, row.data["used"]) for row in book.kept if "used" in row.data]
    assert [stage for stage, _ in told] == ["speed", "speed", "retrieval"]
    assert all(0 < one["taken"] <= one["allowed"] for _, one in told)


def test_algorithms_that_are_built_in_use_all_of_their_budget_in_both(cluster: LocalCluster) -> None:
    for name in ("quest", "rocketkv", "recent"):
        _, book = judged(cluster, flows.read(name)[1], (TIMES, TASKS))
        assert {one["taken"] / one["allowed"] for row in book.kept if (one := row.data.get("used"))} == {1.0}, name


def row(stage: str, problem: str, taken: int | None, **data: float) -> Row:
    told = {} if taken is None else {"used": {"taken": taken, "allowed": 100}}
    return Row(stage=stage, problem=problem, score=1.0, data={**told, **data})


ANSWER = row("retrieval", "vt/0", 80)
CASES = [
    ([ANSWER], ""), ([row("speed", "b1-c64", 1, step_ms=1)], ""),                              # nothing to compare with
    ([ANSWER, row("speed", "b1-c64", 61, step_ms=1)], ""),                                     # three quarters
    ([ANSWER, row("speed", "b1-c64", 59, step_ms=1)], "(b1-c64), and 0.80 times"),
    ([ANSWER, row("speed", "b1-c64", 90, step_ms=1), row("speed", "b2-c64", 10, step_ms=1)], "0.10 times its budget where it is"),
    ([ANSWER, row("speed", "b1-c64", None, step_ms=1)], ""),                                   # rows of earlier versions
    ([row("confirm", "retrieval/vt/confirm/0", 80), row("confirm", "speed/b1-c64", 10, step_ms=1)], "timed (b1-c64)"),
]


@pytest.mark.parametrize(("rows", "words"), CASES)
def test_shapes_are_compared_one_by_one_with_all_answers(rows: Sequence[Row], words: str) -> None:
    found = less_when_timed(rows)
    assert words in found and bool(words) == bool(found)


def test_steps_that_the_engine_made_dense_and_layers_that_are_not_select_say_nothing() -> None:
    event = {"layer": 0, "lens": [1024], "lists": [[list(range(64))] * 2], "dense": False}
    assert used([event], POINT) == {"taken": 128, "allowed": 16}
    assert used([{**event, "dense": True}], POINT) == {}
    assert used([event], POINT.with_(layers_skip=(0,))) == {}
