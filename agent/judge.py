"""From a draft to a judged candidate: entered, compared with what was tried, put through the funnel, ended by name."""
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.clock import Clock
from agent.stop import Stop
from agent.untrusted import load_untrusted
from agent.watch import Watch
from evaluator.funnel import Book, Funnel, Work
from evaluator.report import Report, Row, StageResult, Status
from evaluator.stage import Rival
from search.candidate import Candidate, Draft
from search.novelty import earlier
from search.store.archive import Archive
from vortex.errors import VortexError

__all__ = ["Judge", "StoppingWatch", "TimedBook", "load_untrusted"]


@dataclass(frozen=True)
class TimedBook:
    """A Book whose writing counts as the loop's own time."""

    book: Book
    clock: Clock

    def rows(self, stage: str) -> Sequence[Row]:
        with self.clock.part("recording"):
            return self.book.rows(stage)

    def add(self, row: Row) -> None:
        with self.clock.part("recording"):
            self.book.add(row)

    def result(self, stage: str) -> StageResult | None:
        with self.clock.part("recording"):
            return self.book.result(stage)

    def close(self, result: StageResult) -> None:
        with self.clock.part("recording"):
            self.book.close(result)

    def dense(self, stage: str) -> Sequence[Row]:
        with self.clock.part("recording"):
            return self.book.dense(stage)


@dataclass(frozen=True)
class StoppingWatch:
    """Passes on what the funnel tells, and ends the run between two rows when that was asked for."""

    watch: Watch
    stop: Stop

    def stage_started(self, stage: str, done: int, total: int) -> None:
        self.watch.stage_started(stage, done, total)
        self.stop.check()

    def row(self, row: Row, done: int, total: int) -> None:
        self.watch.row(row, done, total)
        self.stop.check()

    def stage_ended(self, result: StageResult) -> None:
        self.watch.stage_ended(result)


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Everything that judging one candidate takes. `funnel` gates; `controls` is the same without gates.

    `twins`: what is the same flow as an earlier one is measured all the same.
    """

    archive: Archive
    funnel: Funnel
    controls: Funnel
    watch: Watch
    stop: Stop
    clock: Clock
    environment: int
    twins: bool = False

    def judge(self, draft: Draft, refusal: VortexError | None = None, rivals: Sequence[Rival] = ()) -> Candidate:
        """A candidate that ended is left as it is; a half-done one goes on. Raises Stopped between two rows."""
        candidate = self.archive.add_candidate(draft)
        if candidate.status not in (None, Status.INFRASTRUCTURE):
            return candidate
        self.watch.candidate_started(candidate)
        first = None if self.twins else earlier(self.archive, draft)
        if first is not None:
            return self.archive.finish(candidate, Status.DUPLICATE, first.id)
        report = self._report(candidate, refusal, rivals)
        return self.archive.finish(candidate, report.status)

    def _report(self, candidate: Candidate, refusal: VortexError | None, rivals: Sequence[Rival]) -> Report:
        control = candidate.tier == "control"
        work = Work(name=candidate.name, source=candidate.flow.source, point=candidate.point, refusal=refusal,
                    graph=None if candidate.is_dense else candidate.flow.graph, rivals=rivals, control=control)
        return self.run(self.controls if control else self.funnel, candidate, work)

    def run(self, funnel: Funnel, candidate: Candidate, work: Work, wrap: Callable[[Book], Book] | None = None) -> Report:
        """Puts a candidate through `funnel`, timed and watched; `wrap` goes around its book. Raises Stopped."""
        book: Book = TimedBook(self.archive.book(candidate, self.environment), self.clock)
        with self.clock.part("evaluating"):
            return funnel.judge(work, wrap(book) if wrap else book, StoppingWatch(self.watch, self.stop))
