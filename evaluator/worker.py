"""What runs beside the model: one engine, one job at a time, one answer a call. The same in-process and in an actor."""
import os
import signal
import traceback
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass, field

from evaluator.report import Status
from evaluator.stage import Answered, Problem, Stage
from vortex.config import OperatingPoint
from vortex.errors import VortexError
from vortex.ir import Graph
from vortex.serving.engine import Engine

EngineFactory = Callable[[str], Engine]
_TRACE_LINES = 12


class JobError(Exception):
    """A job ended without all of its answers: whose fault it was (`status`), which (`code`), and what was seen."""

    def __init__(self, status: Status, code: str, message: str) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message


@dataclass(frozen=True, kw_only=True)
class Job:
    """A stage of a candidate, as it travels: the flow is Graph JSON, None for dense decode."""

    stage: Stage
    graph_json: str | None
    point: OperatingPoint
    problems: Sequence[Problem]
    done: Collection[tuple[str, int]] = field(default_factory=frozenset)


class Worker:
    """prepare -> (begin -> next* -> close)*. The engine and its model are kept from job to job."""

    def __init__(self, make_engine: EngineFactory, *, in_actor: bool = False) -> None:
        self._make_engine = make_engine
        self._engine: Engine | None = None
        self._loaded: tuple[str, str] | None = None
        self._answers: Generator[Answered, None, None] | None = None
        if in_actor:
            signal.signal(signal.SIGINT, signal.SIG_IGN)          # Ctrl-C reaches the whole group; it is the driver's

    def prepare(self, point: OperatingPoint) -> None:
        """Loads the engine and the model of `point` unless they are there. Raises VortexError: the user's to mend."""
        wanted = (point.engine, point.model)
        if self._loaded == wanted:
            return
        self.stop()
        engine = self._make_engine(point.engine)
        engine.start(point.model)
        self._engine, self._loaded = engine, wanted

    def begin(self, job: Job) -> None:
        """Gives the flow to the engine and stands ready. Raises JobError (compile)."""
        assert self._engine is not None, "prepare comes first"
        graph = None if job.graph_json is None else Graph.from_json(job.graph_json)
        try:
            self._engine.use(graph, job.point)
        except Exception as error:
            raise _fault(error, Status.COMPILE) from error
        self._answers = job.stage.run(self._engine, graph, job.point, job.problems, job.done)

    def next(self) -> Answered | None:
        """The next answer, None after the last. Raises JobError (crash, memory): what ran was the candidate's."""
        assert self._answers is not None, "begin comes first"
        try:
            return next(self._answers, None)
        except JobError:                          # the stage knows whose fault it was
            raise
        except Exception as error:
            raise _fault(error, Status.CRASH) from error

    def close(self) -> None:
        """Drops what is left of the job."""
        if self._answers is not None:
            self._answers.close()
        self._answers = None

    def place(self) -> tuple[str, int]:
        """The machine and the process: what a watchdog has to know."""
        return os.uname().nodename, os.getpid()

    def stop(self) -> None:
        """Ends the engine."""
        self.close()
        if self._engine is not None:
            self._engine.stop()
        self._engine = self._loaded = None


def _fault(error: Exception, status: Status) -> JobError:
    if isinstance(error, VortexError):
        return JobError(status, error.code, error.report())
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error) or "out of memory" in str(error):
        return JobError(Status.MEMORY, "out-of-memory", str(error) or "out of memory")
    lines = "".join(traceback.format_exception(error)).splitlines()
    return JobError(status, type(error).__name__, "\n".join(lines[-_TRACE_LINES:]))
