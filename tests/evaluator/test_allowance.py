"""The time of a stage is one for all of it: timings have what the answers left. No Ray in here."""
from collections.abc import Generator
from typing import Any

import pytest

from evaluator.cluster import Cluster, JobError
from evaluator.cluster.lease import Allowance
from evaluator.cluster.losses import WorkerLostError
from evaluator.cluster.pool import Node, Pool, Slot
from evaluator.report import Status
from evaluator.stage import Answered, Problem
from evaluator.worker import Job
from tests.evaluator.scripted import POINT, Script

EXAM = Script((), name="confirm")
PROBLEMS = [Problem(id=id, ask={}) for id in ("chain/a/confirm/0", "chain/a/confirm/1", "speed/b1-c64")]


class Played(Cluster):
    """Each attempt at a job takes `took_s`, unless its time ends before; those of the numbers `lost` lose their worker."""

    def __init__(self, took_s: float, lost: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.nodes = [Node(id="node-one", room=2)]
        self._pool = Pool(lambda: self.nodes)
        self._took_s = took_s
        self._lost = lost
        self.given_s: list[float] = []

    def _attempt(self, slot: Slot, job: Job, allowed: Allowance) -> Generator[Answered, None, None]:
        self.given_s.append(allowed.left_s)
        allowed.left_s -= self._took_s
        if allowed.left_s < 0:
            raise allowed.late
        if len(self.given_s) - 1 in self._lost:
            raise WorkerLostError("the machine went away")
        yield from (Answered(problem=problem.id) for problem in job.problems)


def exam(cluster: Cluster, problems: Any = PROBLEMS) -> list[str]:
    return [one.problem for one in cluster.stream(EXAM, None, POINT, problems, (), 60.0)]


@pytest.mark.parametrize(("took_s", "lost", "problems", "given_s"), [
    (20.0, (), PROBLEMS, [60.0, 40.0]),
    (20.0, (), PROBLEMS[2:], [60.0]),
    (20.0, (0,), PROBLEMS, [60.0, 60.0, 40.0]),
    (20.0, (1,), PROBLEMS, [60.0, 40.0, 40.0]),
])
def test_timings_have_what_the_answers_left_and_a_lost_worker_takes_nothing(
        took_s: float, lost: tuple[int, ...], problems: Any, given_s: list[float]) -> None:
    cluster = Played(took_s, lost)
    assert exam(cluster, problems) == [one.id for one in problems] and cluster.given_s == given_s


def test_who_uses_it_up_in_the_second_part_is_told_the_whole_limit() -> None:
    with pytest.raises(JobError, match="not done after 60 s") as late:
        exam(Played(40.0))
    assert late.value.status is Status.TIMEOUT


def test_slots_are_those_of_the_nodes_that_are_there_now() -> None:
    cluster = Played(1.0)
    before = cluster.slots
    cluster.nodes.append(Node(id="node-two", room=1))
    assert (before, cluster.slots) == (2, 3)
    cluster.nodes.clear()
    assert cluster.slots == 0
