"""What the funnel needs of a place where stages run; and the plainest such place, this process."""
import threading
import time
from collections.abc import Collection, Generator, Sequence
from typing import Protocol

from evaluator.report import Status
from evaluator.stage import Answered, Problem, Stage
from evaluator.statistics import SPEED_STAGE
from evaluator.worker import EngineFactory, Job, JobError, Worker
from vortex.config import OperatingPoint
from vortex.ir import Graph
from vortex.serving import make_engine


class Runner(Protocol):
    """Streams may be asked for from several threads."""

    @property
    def slots(self) -> int:
        """How many stages can run at once; more streams wait for their turn."""

    def stream(self, stage: Stage, graph: Graph | None, point: OperatingPoint, problems: Sequence[Problem],
               done: Collection[tuple[str, int]], timeout_s: float) -> Generator[Answered, None, None]:
        """Yields what is missing in `done`; closing it stops the work.

        Raises JobError, and VortexError for a model or engine that cannot be had.
        """


class LocalCluster:
    """A Runner in this process: no worker to kill, so the time limit holds between answers only."""

    slots = 1

    def __init__(self, engines: EngineFactory = make_engine) -> None:
        self._worker = Worker(engines)
        self._turn = threading.Lock()

    def stream(self, stage: Stage, graph: Graph | None, point: OperatingPoint, problems: Sequence[Problem],
               done: Collection[tuple[str, int]], timeout_s: float) -> Generator[Answered, None, None]:
        """See Runner."""
        with self._turn:
            self._worker.prepare(point)
            deadline = time.monotonic() + timeout_s
            try:
                self._worker.begin(job_of(stage, graph, point, problems, done))
                while (answered := self._worker.next()) is not None:
                    yield answered
                    if time.monotonic() > deadline:
                        raise too_long(timeout_s)
            finally:
                self._worker.close()

    def stop(self) -> None:
        """Ends the engine."""
        self._worker.stop()


def timed(stage: Stage, problem: Problem) -> bool:
    """Whether a problem is a timing: the speed stage's own, and those of an exam that repeats it."""
    return stage.name == SPEED_STAGE or problem.id.startswith(f"{SPEED_STAGE}/")


def job_of(stage: Stage, graph: Graph | None, point: OperatingPoint, problems: Sequence[Problem],
           done: Collection[tuple[str, int]]) -> Job:
    """What travels: the flow as Graph JSON."""
    text = None if graph is None else graph.to_json()
    return Job(stage=stage, graph_json=text, point=point, problems=tuple(problems), done=frozenset(done))


def too_long(timeout_s: float) -> JobError:
    """The candidate's wall clock is used up."""
    return JobError(Status.TIMEOUT, "timeout", f"not done after {timeout_s:g} s")
