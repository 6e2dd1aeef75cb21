"""Whose fault it is that a worker died: pure, from what is known of each death."""
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from evaluator.report import Status
from evaluator.worker import JobError


class WorkerLostError(Exception):
    """A worker died, and not by our hand. `note`: what it wrote in its last moment, empty where it had none;
    `worker`: which it was."""

    def __init__(self, why: str, note: str = "", worker: str = "") -> None:
        super().__init__(why, note, worker)
        self.why = why
        self.note = note
        self.worker = worker


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A worker that a job lost: after how many answers of the whole, `why` in a line, and its last `note`.

    A process that is ended by its own fault (a segmentation fault, an abort) leaves a note; one that was killed from
    outside, or whose node went, does not.
    """

    worker: str
    answers: int
    why: str
    note: str = ""
    code: str = "worker-lost"


def verdict(losses: Sequence[Loss], lives: int) -> JobError | None:
    """The end of the job, or None: it goes on elsewhere.

    Twice at the same place by its own fault, on two workers, is the candidate's crash. All else is the infrastructure's.
    """
    own = {(loss.answers, loss.worker): loss for loss in losses if loss.note}
    often = [place for place, times in Counter(answers for answers, _ in own).items() if times > 1]
    if often:
        last = [loss for loss in losses if loss.note and loss.answers in often][-1]
        return JobError(Status.CRASH, "worker-died", f"two workers died after {last.answers} answers. {last.note}")
    if len(losses) < lives:
        return None
    return JobError(Status.INFRASTRUCTURE, losses[-1].code, f"{len(losses)} workers were lost. The last one: {losses[-1].why}")
