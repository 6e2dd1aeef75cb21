"""A candidate is blamed for a worker's death only where two workers ended at the same place by their own fault."""
import pytest

from evaluator.cluster.losses import Loss, verdict
from evaluator.report import Status


def own(answers: int, worker: str) -> Loss:
    return Loss(worker=worker, answers=answers, why="it died", note="Fatal Python error: Aborted")


def killed(answers: int, worker: str, code: str = "worker-lost") -> Loss:
    return Loss(worker=worker, answers=answers, why="it was killed", code=code)


@pytest.mark.parametrize(("losses", "status", "code"), [
    ([], None, ""),
    ([own(3, "a")], None, ""),
    ([own(3, "a"), own(3, "b")], Status.CRASH, "worker-died"),
    ([own(3, "a"), killed(3, "b"), own(3, "c")], Status.CRASH, "worker-died"),
    ([own(3, "a"), own(3, "a")], None, ""),                                     # one worker, heard of twice
    ([own(3, "a"), own(4, "b")], None, ""),
    ([own(3, "a"), own(4, "b"), own(5, "c")], Status.INFRASTRUCTURE, "worker-lost"),
    ([killed(3, "a"), killed(3, "b")], None, ""),
    ([killed(3, "a"), killed(3, "b"), killed(3, "c")], Status.INFRASTRUCTURE, "worker-lost"),
    ([own(3, "a"), killed(3, "b"), killed(3, "c", "disk-full")], Status.INFRASTRUCTURE, "disk-full"),
])
def test_the_verdict(losses: list[Loss], status: Status | None, code: str) -> None:
    end = verdict(losses, 3)
    assert (end and end.status, end.code if end else "") == (status, code)


def test_a_crash_tells_its_last_words() -> None:
    end = verdict([own(3, "a"), own(3, "b")], 3)
    assert end is not None and end.message == "two workers died after 3 answers. Fatal Python error: Aborted"
