"""Where stages run: in this process, or on a Ray worker that holds the one device and can be killed.

The driver asks for one answer at a time, so nothing runs ahead of what is graded and written, and a stage that is
stopped early stops at once. Ray is loaded when a cluster is opened: all else here works without it.
"""
import os
import signal
import subprocess
import threading
import time
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Protocol, Self

from evaluator.report import Status
from evaluator.stage import Answered, Problem, Stage
from evaluator.worker import EngineFactory, Job, JobError, Worker
from vortex.config import OperatingPoint
from vortex.errors import EngineError, MissingExtra, VortexError
from vortex.ir import Graph
from vortex.serving import make_engine

__all__ = ["Cluster", "ClusterSettings", "JobError", "LocalCluster", "Runner"]
_POLL_S = 0.05


class Runner(Protocol):
    """What the funnel needs of a place where stages run. Streams may be asked for from several threads."""

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

    def stream(self, stage: Stage, graph: Graph | None, point: OperatingPoint, problems: Sequence[Problem],
               done: Collection[tuple[str, int]], timeout_s: float) -> Generator[Answered, None, None]:
        """See Runner."""
        self._worker.prepare(point)
        deadline = time.monotonic() + timeout_s
        try:
            self._worker.begin(_job(stage, graph, point, problems, done))
            while (answered := self._worker.next()) is not None:
                yield answered
                if time.monotonic() > deadline:
                    raise _too_long(timeout_s)
        finally:
            self._worker.close()

    def stop(self) -> None:
        """Ends the engine."""
        self._worker.stop()


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """`address` None starts a Ray of our own, which ends with the command; elsewhere, nodes offer a `device` resource.

    `memory_bytes` is what a candidate may add to its worker (watched on this machine; Ray's own watch holds
    everywhere), `threads` what an engine on CPU may use, `load_s` how long a worker may take to load a model, `lives`
    how many workers a job may lose through no fault that is known.
    """

    address: str | None = None
    memory_bytes: int = 4 << 30
    threads: int = 1
    load_s: float = 300.0
    lives: int = 3


class _WorkerLostError(Exception):
    """The worker died, and not by our hand."""


class Cluster:
    """A Runner on Ray, and a context manager: `with Cluster() as cluster`. The worker and its model outlive a job."""

    slots = 1

    def __init__(self, settings: ClusterSettings | None = None, engines: EngineFactory = make_engine) -> None:
        self._settings = settings or ClusterSettings()
        self._engines = engines
        self._ray: Any = None
        self._actor: Any = None
        self._reaper: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._baseline_bytes = 0

    def __enter__(self) -> Self:
        self._ray, processes = _load_ray()
        own = self._settings.address is None
        started = {"num_cpus": self._settings.threads, "num_gpus": 0, "resources": {"device": 1},
                   "include_dashboard": False, "object_store_memory": 100 << 20} if own else {}
        os.environ["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", str(self._settings.threads))
        try:
            with _own_sigterm():
                self._ray.init(address=self._settings.address or "local", log_to_driver=False, logging_level="ERROR",
                               **started)
        except (OSError, ConnectionError, RuntimeError, TimeoutError) as error:
            raise EngineError(f"Ray did not start: {error}", hint="`ray stop` ends what an earlier run left.") from error
        if own:
            self._reaper = _start_reaper([child.pid for child in processes.Process().children(recursive=True)])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._kill()
        self._ray.shutdown()
        if self._reaper is not None:
            self._reaper.kill()
            self._reaper.wait()

    def stream(self, stage: Stage, graph: Graph | None, point: OperatingPoint, problems: Sequence[Problem],
               done: Collection[tuple[str, int]], timeout_s: float) -> Generator[Answered, None, None]:
        """See Runner. A worker that dies on its own is replaced, and goes on with what is missing."""
        seen, lost = set(done), ""
        deadline = time.monotonic() + timeout_s
        for _ in range(self._settings.lives):
            try:
                for answered in self._attempt(_job(stage, graph, point, problems, seen), deadline, timeout_s):
                    seen.add((answered.problem, answered.repeat))
                    yield answered
                return
            except _WorkerLostError as error:
                lost = str(error)
        raise JobError(Status.INFRASTRUCTURE, "worker-lost", f"{self._settings.lives} workers died. The last one: {lost}")

    def _attempt(self, job: Job, deadline: float, timeout_s: float) -> Iterator[Answered]:
        self._prepare(job.point)
        try:
            self._ask(self._actor.begin.remote(job), deadline, _too_long(timeout_s))
            while (answered := self._ask(self._actor.next.remote(), deadline, _too_long(timeout_s))) is not None:
                yield answered
        finally:
            if self._actor is not None:
                self._actor.close.remote()

    def _prepare(self, point: OperatingPoint) -> None:
        if self._actor is None:
            needs = {"num_cpus": self._settings.threads, "resources": {"device": 1}, "max_restarts": 0}
            self._actor = self._ray.remote(**needs)(Worker).remote(self._engines, in_actor=True)
        slow = JobError(Status.INFRASTRUCTURE, "load-timeout",
                        f"no worker with {point.model} after {self._settings.load_s} s")
        deadline = time.monotonic() + self._settings.load_s
        self._ask(self._actor.prepare.remote(point), deadline, slow)
        node, self._pid = self._ask(self._actor.place.remote(), deadline, slow)
        self._pid = self._pid if node == os.uname().nodename else 0
        self._baseline_bytes = _resident_bytes(self._pid)

    def _ask(self, answer: Any, deadline: float, late: JobError) -> Any:
        """The value of `answer`; a worker that is late or too big is killed. Raises JobError, _WorkerLostError."""
        while not self._ray.wait([answer], timeout=_POLL_S)[0]:
            if time.monotonic() > deadline:
                self._kill()
                raise late
            grown_bytes = _resident_bytes(self._pid) - self._baseline_bytes
            if self._baseline_bytes and grown_bytes > self._settings.memory_bytes:
                self._kill()
                raise JobError(Status.MEMORY, "out-of-memory",
                               f"the worker grew by {grown_bytes:,} bytes; {self._settings.memory_bytes:,} are allowed")
        return self._value(answer)

    def _value(self, answer: Any) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(answer)
        except errors.OutOfMemoryError as error:
            self._kill()
            raise JobError(Status.MEMORY, "out-of-memory", str(error)) from error
        except errors.RayTaskError as error:
            if isinstance(error.cause, JobError | VortexError):
                raise error.cause from None
            self._kill()
            raise _WorkerLostError(str(error)) from error
        except errors.RayError as error:
            self._kill()
            raise _WorkerLostError(str(error).splitlines()[0]) from error

    def _kill(self) -> None:
        if self._actor is not None:
            self._ray.kill(self._actor)
        self._actor, self._pid, self._baseline_bytes = None, 0, 0


def _load_ray() -> tuple[ModuleType, ModuleType]:
    """Ray and psutil. Ray reads the environment once: no statistics sent, nothing printed between our own lines, and a
    worker that is as important as what it is timed beside."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
                   "RAY_DEDUP_LOGS_SKIP_REGEX": ".", "RAY_worker_niceness": "0"}
    try:
        import psutil
        import ray
        import ray.exceptions
    except ImportError as error:
        raise MissingExtra("Ray is not installed", hint='pip install "vortex-platform[eval]"') from error
    return ray, psutil


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keeps what this process does at SIGTERM: Ray would print a trace."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


def _start_reaper(pids: Sequence[int]) -> subprocess.Popen[bytes]:
    """Kills `pids` when this process is gone, however it went: Ray's own agents outlive a killed driver by a minute.

    It waits for the end of a pipe that only this process holds, in a session of its own that no Ctrl-C reaches.
    """
    command = ["sh", "-c", 'cat > /dev/null; kill -9 "$@" 2> /dev/null', "reaper", *map(str, pids)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def _job(stage: Stage, graph: Graph | None, point: OperatingPoint, problems: Sequence[Problem],
         done: Collection[tuple[str, int]]) -> Job:
    text = None if graph is None else graph.to_json()
    return Job(stage=stage, graph_json=text, point=point, problems=tuple(problems), done=frozenset(done))


def _too_long(timeout_s: float) -> JobError:
    return JobError(Status.TIMEOUT, "timeout", f"not done after {timeout_s:g} s")


def _resident_bytes(pid: int) -> int:
    """Resident memory of a process of this machine; 0 for one that is gone."""
    if not pid:
        return 0
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0
