"""The funnel by table: how a candidate can end, what is kept of it, and that nothing is run twice."""
from collections.abc import Sequence
from dataclasses import replace

import pytest

from evaluator.cluster import LocalCluster
from evaluator.funnel import Funnel, MemoryBook, Silent, Work
from evaluator.report import Row, StageResult, Status, skipped
from evaluator.stage import Context
from tests.evaluator.scripted import POINT, Script, graph, make_scripted
from vortex.errors import ChildTimeout, UnknownOp, VortexError, Where

WORK = Work(name="flow", source="", graph=graph(), point=POINT)


def judge(stages: Sequence[Script], book: MemoryBook | None = None,
          work: Work = WORK) -> tuple[Status, str, MemoryBook]:
    book = book or MemoryBook()
    report = Funnel(stages, LocalCluster(make_scripted)).judge(work, book, Silent())
    return report.status, report.results[-1].code, book


@pytest.mark.parametrize(("script", "status", "code", "rows"), [
    (Script((1.0, 0.5)), Status.OK, "", 2),
    (Script((1.0, 0.5), gate=0.8), Status.GATE, "below-gate", 2),
    (Script((0.0, 1.0, 1.0, 1.0), gate=0.8), Status.STOPPED, "below-gate", 1),
    (Script((1.0, "raise", 1.0)), Status.CRASH, "ZeroDivisionError", 1),
    (Script((1.0, "eat all", 1.0)), Status.MEMORY, "out-of-memory", 1),
    (Script((1.0, 1.0), timeout_s=0.0), Status.TIMEOUT, "timeout", 1),
    (Script((1.0, float("nan"), 1.0)), Status.HACK, "not-a-number", 1),
], ids=lambda value: str(value)[:30] if isinstance(value, Status) else None)
def test_how_a_stage_ends(script: Script, status: Status, code: str, rows: int) -> None:
    found, why, book = judge([script])
    assert (found, why, len(book.kept)) == (status, code, rows)


def test_a_stage_after_a_failure_is_not_run() -> None:
    first, second = Script((0.0,), gate=0.5), Script((1.0,), name="chain")
    _, _, book = judge([first, second])
    assert second.log == []
    assert list(book.results) == ["retrieval"]


@pytest.mark.parametrize(("refusal", "status"), [
    (UnknownOp("there is no op 'tpok'", hint="Did you mean topk?", where=Where("f.py", 3)), Status.REJECTED),
    (ChildTimeout("the flow did not load in 5 s"), Status.TIMEOUT),
])
def test_a_refused_flow_ends_in_the_first_stage_with_the_refusal(refusal: VortexError, status: Status) -> None:
    script = Script((1.0,))
    found, code, book = judge([script], work=replace(WORK, graph=None, refusal=refusal))
    assert (found, code, script.log) == (status, refusal.code, [])
    assert book.results["retrieval"].message == refusal.report()


def test_a_flow_the_engine_refuses_ends_as_compile() -> None:
    found, code, _ = judge([Script((1.0,))], work=replace(WORK, graph=graph("misfit")))
    assert (found, code) == (Status.COMPILE, "EngineError")


def test_half_of_the_rows_are_there_and_only_the_other_half_is_run() -> None:
    book = MemoryBook()
    for i in (0, 2):
        book.add(Row(stage="retrieval", problem=f"task/{i}", score=1.0))
    script = Script((1.0, 0.5, 1.0, 0.5))
    status, _, _ = judge([script], book)
    assert status is Status.OK
    assert script.log == ["task/1", "task/3"]
    assert [row.problem for row in book.kept] == ["task/0", "task/2", "task/1", "task/3"]


def test_a_closed_stage_is_taken_as_it_is() -> None:
    book = MemoryBook()
    book.close(StageResult(stage="retrieval", status=Status.OK))
    first, second = Script((1.0,)), Script((1.0,), name="chain")
    assert judge([first, second], book)[0] is Status.OK
    assert (first.log, second.log) == ([], ["task/0"])


class Needless(Script):
    """A script that nobody has to follow; asked why, it remembers."""

    def skip(self, context: Context) -> str:
        self.log.append("why")
        return "nothing to see here"


def test_a_stage_that_is_skipped_leaves_its_reason_and_is_not_asked_again() -> None:
    first, second = Needless((0.0,), gate=0.5), Script((1.0,), name="chain")
    status, _, book = judge([first, second])
    assert (status, first.log, second.log) == (Status.OK, ["why"], ["task/0"])
    assert book.results["retrieval"] == skipped("retrieval", "nothing to see here")
    assert judge([first, second], book)[0] is Status.OK
    assert (first.log, second.log) == (["why"], ["task/0"])


def test_a_candidate_whose_every_stage_is_skipped_is_held_at_nothing() -> None:
    assert judge([Needless((0.0,), gate=0.5)])[0] is Status.OK


def test_a_refused_flow_ends_refused_whatever_could_be_skipped() -> None:
    script = Needless((1.0,))
    status, _, _ = judge([script], work=replace(WORK, graph=None, refusal=UnknownOp("there is no op 'tpok'")))
    assert (status, script.log) == (Status.REJECTED, [])


def test_all_rows_are_there_but_the_verdict_was_lost() -> None:
    book = MemoryBook()
    book.add(Row(stage="retrieval", problem="task/0", score=1.0))
    script = Script((1.0,))
    assert judge([script], book)[0] is Status.OK
    assert script.log == []


def test_hopeless_rows_are_not_added_to_after_a_kill() -> None:
    book = MemoryBook()
    book.add(Row(stage="retrieval", problem="task/0", score=0.0))
    script = Script((0.0, 1.0), gate=0.8)
    assert judge([script], book)[0] is Status.STOPPED
    assert script.log == []


def test_a_verdict_that_blamed_the_infrastructure_is_sought_again() -> None:
    book = MemoryBook()
    book.close(StageResult(stage="retrieval", status=Status.INFRASTRUCTURE, code="worker-lost"))
    status, _, book = judge([Script((1.0,))], book)
    assert status is Status.OK
    assert book.results["retrieval"].status is Status.OK


def test_the_watch_sees_each_row_as_it_is_written() -> None:
    seen: list[str] = []
    book = MemoryBook()

    class Told(Silent):
        def stage_started(self, stage: str, done: int, total: int) -> None:
            seen.append(f"start {done}/{total}")

        def row(self, row: Row, done: int, total: int) -> None:
            assert row in book.kept
            seen.append(f"row {done}/{total}")

        def stage_ended(self, result: StageResult) -> None:
            seen.append(f"end {result.status}")

    Funnel([Script((1.0, 1.0))], LocalCluster(make_scripted)).judge(WORK, book, Told())
    assert seen == ["start 0/2", "row 1/2", "row 2/2", "end ok"]
