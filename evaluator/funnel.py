"""The funnel: stages in order, ever dearer; each row written as it comes, each verdict drawn from rows alone."""
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Protocol

from evaluator.cluster import Runner
from evaluator.guard import less_when_timed, row_fault
from evaluator.report import Report, Row, StageResult, Status, skipped
from evaluator.stage import Context, Problem, Rival, Stage
from evaluator.worker import JobError
from vortex.config import OperatingPoint
from vortex.errors import ChildCrash, ChildMemory, ChildTimeout, VortexError
from vortex.ir import Graph


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is judged: a flow at a point. `graph` is None for the dense control, and where `refusal` says why.

    `rivals` are what it competes with; a `control` is measured to the end of every stage.
    """

    name: str
    source: str
    graph: Graph | None
    point: OperatingPoint
    refusal: VortexError | None = None
    rivals: Sequence[Rival] = ()
    control: bool = False


_REFUSALS: dict[type[VortexError], Status] = {
    ChildTimeout: Status.TIMEOUT, ChildMemory: Status.MEMORY, ChildCrash: Status.CRASH,
}


class Book(Protocol):
    """Where rows are kept: whatever was added outlives a kill."""

    def rows(self, stage: str) -> Sequence[Row]: ...

    def add(self, row: Row) -> None: ...

    def result(self, stage: str) -> StageResult | None: ...

    def close(self, result: StageResult) -> None:
        """Keeps a verdict; one that blamed the infrastructure may be replaced by a later one."""

    def dense(self, stage: str) -> Sequence[Row]:
        """The rows of the dense control, for comparison."""


class Watch(Protocol):
    """What is drawn while work goes on. `done` counts rows, those of an earlier run included."""

    def stage_started(self, stage: str, done: int, total: int) -> None: ...

    def row(self, row: Row, done: int, total: int) -> None: ...

    def stage_ended(self, result: StageResult) -> None: ...


class Silent:
    """A Watch that draws nothing."""

    def stage_started(self, stage: str, done: int, total: int) -> None: ...

    def row(self, row: Row, done: int, total: int) -> None: ...

    def stage_ended(self, result: StageResult) -> None: ...


@dataclass
class MemoryBook:
    """A Book that ends with the process."""

    dense_rows: Sequence[Row] = ()
    kept: list[Row] = field(default_factory=list)
    results: dict[str, StageResult] = field(default_factory=dict)

    def rows(self, stage: str) -> Sequence[Row]:
        return [row for row in self.kept if row.stage == stage]

    def add(self, row: Row) -> None:
        self.kept.append(row)

    def result(self, stage: str) -> StageResult | None:
        return self.results.get(stage)

    def close(self, result: StageResult) -> None:
        self.results[result.stage] = result

    def dense(self, stage: str) -> Sequence[Row]:
        return [row for row in self.dense_rows if row.stage == stage]


class Funnel:
    """Judges one candidate after the other. Takes up what an earlier, killed run left in the book."""

    def __init__(self, stages: Sequence[Stage], cluster: Runner) -> None:
        self.stages = tuple(stages)
        self.cluster = cluster

    def judge(self, work: Work, book: Book, watch: Watch) -> Report:
        """Runs the stages until one does not end ok. Raises VortexError where a model or engine cannot be had."""
        results: list[StageResult] = []
        for stage in self.stages:
            result = book.result(stage.name)
            if result is None or result.status is Status.INFRASTRUCTURE:
                result = self._ended(stage, work, book, watch)
                book.close(result)
            watch.stage_ended(result)
            results.append(result)
            if result.status is not Status.OK:
                break
        return Report(results=tuple(results))

    def _context(self, stage: Stage, work: Work, book: Book) -> Context:
        place = self.stages.index(stage)
        own = {one.name: rows for one in self.stages[:place] if (rows := tuple(book.rows(one.name)))}
        later = {task: count for one in self.stages[place + 1:] for task, count in one.sizes(work.point).items()}
        return Context(point=work.point, graph=work.graph, dense=tuple(book.dense(stage.name)), rivals=work.rivals,
                       control=work.control, own=own, later=later)

    def _ended(self, stage: Stage, work: Work, book: Book, watch: Watch) -> StageResult:
        if work.refusal is not None:
            return _refused(stage.name, work.refusal)
        context = self._context(stage, work, book)
        reason = stage.skip(context)
        return skipped(stage.name, reason) if reason else self._settle(stage, work, context, book, watch)

    def _settle(self, stage: Stage, work: Work, context: Context, book: Book, watch: Watch) -> StageResult:
        rows, problems = list(book.rows(stage.name)), stage.problems(work.point)
        watch.stage_started(stage.name, len(rows), sum(p.repeats for p in problems))
        try:
            self._collect(stage, problems, context, rows, book, watch)
        except JobError as fault:
            return StageResult(stage=stage.name, status=fault.status, code=fault.code, message=fault.message)
        result = stage.result(rows, context)
        seen = [*chain.from_iterable(context.own.values()), *rows]
        doubt = "" if context.is_dense or context.control or result.status is not Status.OK else less_when_timed(seen)
        return replace(result, status=Status.GATE, code="less-when-timed", message=doubt) if doubt else result

    def _collect(self, stage: Stage, problems: Sequence[Problem], context: Context, rows: list[Row], book: Book,
                 watch: Watch) -> None:
        """Adds the missing rows to `rows` and to the book. Raises JobError."""
        asked, total = {p.id: p for p in problems}, sum(p.repeats for p in problems)
        if len(rows) >= total or stage.hopeless(rows, context):
            return
        done = {(row.problem, row.repeat) for row in rows}
        stream = self.cluster.stream(stage, context.graph, context.point, problems, done, stage.timeout_s)
        with closing(stream) as answers:
            for answered in answers:
                row = _sane(stage.grade(asked[answered.problem], answered, context.point))
                book.add(row)
                rows.append(row)
                watch.row(row, len(rows), total)
                if stage.hopeless(rows, context):
                    return


def _refused(stage: str, refusal: VortexError) -> StageResult:
    status = _REFUSALS.get(type(refusal), Status.REJECTED)
    return StageResult(stage=stage, status=status, code=refusal.code, message=refusal.report())


def _sane(row: Row) -> Row:
    """Figures that are none are the candidate's doing: nothing of the row is kept. Raises JobError."""
    fault = row_fault(row)
    if fault:
        raise JobError(Status.HACK, "not-a-number", fault)
    return row
