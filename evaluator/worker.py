"""What runs beside the model: one engine, one job at a time, one answer a call. The same in-process and in an actor."""
import ctypes
import errno
import faulthandler
import os
import signal
import tempfile
import traceback
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass, field

from evaluator.processes import LEASE, Process, find
from evaluator.report import Status
from evaluator.stage import Answered, Problem, Stage
from vortex.config import OperatingPoint
from vortex.errors import VortexError
from vortex.ir import Graph
from vortex.serving.engine import Engine

EngineFactory = Callable[[str], Engine]
_TRACE_LINES = 12
_SUBREAPER = 36                           # of prctl(2)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_OF_THE_MACHINE = ("No space left on device", "uncorrectable ECC error", "device is lost", "GPU is lost")


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


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a watchdog has to know: the process, its GPUs by the node's numbers, and the file of its last words."""

    process: Process
    gpu_ids: tuple[int, ...]
    note: str


class Worker:
    """prepare -> (begin -> next* -> close)*. The engine and its model are kept from job to job."""

    def __init__(self, make_engine: EngineFactory, *, in_actor: bool = False) -> None:
        self._make_engine = make_engine
        self._engine: Engine | None = None
        self._loaded: tuple[str, str] | None = None
        self._answers: Generator[Answered, None, None] | None = None
        self._note = _last_words() if in_actor else ""

    def prepare(self, point: OperatingPoint) -> bool:
        """Loads the engine and the model of `point`; false where they are there. Raises VortexError: the user's to mend,
        and JobError where the machine is at fault."""
        wanted = (point.engine, point.model)
        if self._loaded == wanted:
            return False
        self.stop()
        engine = self._make_engine(point.engine)
        try:
            engine.start(point.model)
        except OSError as error:
            raise _fault(error, Status.INFRASTRUCTURE) from error
        self._engine, self._loaded = engine, wanted
        return True

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

    def place(self) -> Place:
        """Where this is, in an actor."""
        return Place(process=_this(), gpu_ids=gpu_ids(), note=self._note)

    def stop(self) -> None:
        """Ends the engine."""
        self.close()
        if self._engine is not None:
            self._engine.stop()
        self._engine = self._loaded = None


def _last_words() -> str:
    """Makes an actor's process ready: its last words go to a file, what it starts stays its own, and Ctrl-C, which reaches
    the whole group, is the driver's. A process that ends by its own fault has words; one that is killed has none."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    os.environ[LEASE] = _this().lease
    handle, path = tempfile.mkstemp(prefix="vortex-note-")
    faulthandler.enable(handle, all_threads=False)
    return path


def _this() -> Process:
    process = find(os.getpid())
    assert process is not None, "this process is there"
    return process


def gpu_ids() -> tuple[int, ...]:
    """Those that the worker was given, where they are told by number."""
    names = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return tuple(int(name) for name in names if name.isdecimal())


def _fault(error: Exception, status: Status) -> JobError:
    full = isinstance(error, OSError) and error.errno in _FULL
    if full or any(words in str(error) for words in _OF_THE_MACHINE):
        return JobError(Status.INFRASTRUCTURE, "disk-full" if full else "machine", f"{type(error).__name__}: {error}")
    if isinstance(error, VortexError):
        return JobError(status, error.code, error.report())
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error) or "out of memory" in str(error):
        return JobError(Status.MEMORY, "out-of-memory", str(error) or "out of memory")
    lines = "".join(traceback.format_exception(error)).splitlines()
    return JobError(status, type(error).__name__, "\n".join(lines[-_TRACE_LINES:]))
