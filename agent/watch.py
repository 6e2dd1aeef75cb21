"""What a campaign tells while it runs: drawn on a terminal, printed as JSON lines, or not at all."""
from dataclasses import dataclass
from typing import Protocol

from evaluator.funnel import Silent
from evaluator.funnel import Watch as StageWatch
from evaluator.report import Report
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
    """Told from the loop's own thread, in the order of what happens."""

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
