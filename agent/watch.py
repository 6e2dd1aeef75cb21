"""What a campaign tells while it runs: drawn on a terminal, printed as JSON lines, or not at all."""
import threading
from dataclasses import dataclass
from typing import Protocol

from evaluator.funnel import Silent
from evaluator.funnel import Watch as StageWatch
from evaluator.report import Report, Row, StageResult
from search.candidate import Candidate
from search.frontier import Standing


@dataclass(frozen=True, kw_only=True)
class Progress:
    """`done` candidates of `total`; the frontier's size and hypervolume, first and now."""

    done: int
    total: int
    left_s: float
    frontier: int = 0
    first_hypervolume: float = 0.0
    hypervolume: float = 0.0


class Watch(StageWatch, Protocol):
    """Told by one thread at a time, in the order of what happens."""

    def candidate_started(self, candidate: Candidate) -> None: ...

    def candidate_ended(self, candidate: Candidate, report: Report, standing: Standing | None) -> None: ...

    def progress(self, progress: Progress) -> None: ...

    def note(self, text: str) -> None: ...


class Quiet(Silent):
    """A Watch that tells nothing."""

    def candidate_started(self, candidate: Candidate) -> None: ...

    def candidate_ended(self, candidate: Candidate, report: Report, standing: Standing | None) -> None: ...

    def progress(self, progress: Progress) -> None: ...

    def note(self, text: str) -> None: ...


class InTurn:
    """A Watch around another that threads tell in turn."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._turn = threading.RLock()

    def stage_started(self, stage: str, done: int, total: int) -> None:
        with self._turn:
            self._watch.stage_started(stage, done, total)

    def row(self, row: Row, done: int, total: int) -> None:
        with self._turn:
            self._watch.row(row, done, total)

    def stage_ended(self, result: StageResult) -> None:
        with self._turn:
            self._watch.stage_ended(result)

    def candidate_started(self, candidate: Candidate) -> None:
        with self._turn:
            self._watch.candidate_started(candidate)

    def candidate_ended(self, candidate: Candidate, report: Report, standing: Standing | None) -> None:
        with self._turn:
            self._watch.candidate_ended(candidate, report, standing)

    def progress(self, progress: Progress) -> None:
        with self._turn:
            self._watch.progress(progress)

    def note(self, text: str) -> None:
        with self._turn:
            self._watch.note(text)
