"""One worker on Ray, for as long as it lives: made, asked, watched while it answers, and ended with all that it started."""
import math
import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from evaluator.cluster.losses import WorkerLostError
from evaluator.cluster.session import Session
from evaluator.cluster.settings import ClusterSettings
from evaluator.cluster.warden import Reading
from evaluator.report import Status
from evaluator.stage import Answered
from evaluator.worker import EngineFactory, Job, JobError, Place
from vortex.config import OperatingPoint
from vortex.errors import VortexError

_POLL_S = 0.1
_LOOK_S = 1.0
_STOPPED_S = 2.0
_STOPPED = ("T", "t")                     # states of a process that somebody stopped
_POISON = "CUDA error"                    # after one, every later call on that context fails
_DEVICE_S = "device_s"                    # of an answer (evaluator/stages/serving.py)
_NOTHING = Reading(state="", resident_bytes=0)


@dataclass(kw_only=True)
class Usage:
    """Seconds that a slot worked, or was made ready to, and did not; and how often an engine was started there."""

    busy_s: float = 0.0
    idle_s: float = 0.0
    engine_starts: int = 0


@dataclass
class Allowance:
    """What is left of a limit, and what is said when it is used up. Work takes it off."""

    left_s: float
    late: JobError


class RemoteWorker:
    """`usage` and `overruns_s` (seconds from a limit to the certain end of what broke it) are added to."""

    def __init__(self, session: Session, node: str, settings: ClusterSettings, usage: Usage, overruns_s: list[float]) -> None:
        self._session = session
        self._ray = session.ray
        self._node = node
        self._settings = settings
        self._usage = usage
        self._overruns_s = overruns_s
        self._host: Any = None
        self._place: Place | None = None
        self._gpus = 0
        self._allowed_bytes = 0
        self._asked = False
        self._stopped_since = self._looked = time.monotonic()
        self.trouble = ""

    @property
    def alive(self) -> bool:
        return self._host is not None

    @property
    def name(self) -> str:
        """The node and the process."""
        return f"{self._node[:8]}:{self._place.process.pid}" if self._place else self._node[:8]

    def open(self, engines: EngineFactory, gpus: int) -> None:
        """Makes the process. Raises JobError (infrastructure), WorkerLostError."""
        started = time.monotonic()
        self._host = self._session.host(self._node, self._settings.threads, gpus)
        self._gpus = gpus
        allowed = self._loading(f"no worker after {self._settings.load_s:g} s")
        self._value(self._host.make.remote("evaluator.worker", "Worker", engines, in_actor=True), allowed)
        self._place = self._value(self._host.ask.remote("place"), allowed)
        self._session.warden(self._node).take(self._place.process, list(self._place.gpu_ids))
        self._usage.busy_s += time.monotonic() - started

    def prepare(self, point: OperatingPoint) -> None:
        """Loads engine and model, unless they are there. Raises JobError (infrastructure), WorkerLostError, VortexError."""
        allowed = self._loading(f"no worker with {point.model} after {self._settings.load_s:g} s")
        self._usage.engine_starts += self._ask("prepare", point, allowed=allowed)

    def run(self, job: Job, allowed: Allowance) -> Generator[Answered, None, None]:
        """The answers; the driver's own time between them is not counted. Raises JobError, WorkerLostError."""
        self._allowed_bytes = self._read(self._place).resident_bytes + self._settings.memory_bytes if self._place else 0
        try:
            self._ask("begin", job, allowed=allowed)
            while (answered := self._ask("next", allowed=allowed)) is not None:
                yield _by_devices(answered, max(1, self._gpus))
        except JobError as error:
            if _POISON in error.message:
                self.end()
            raise

    def leave(self) -> None:
        """The job is over, or given up. A worker that a Ctrl-C found at work is ended: where it stands is not known."""
        self._allowed_bytes = 0
        if self._asked:
            self.end()
        elif self._host is not None:
            self._host.ask.remote("close")

    def end(self) -> None:
        """Kills it, and what it started; `trouble` says what could not be ended."""
        host, place = self._host, self._place
        self._host, self._place, self._asked = None, None, False
        if place is not None:
            with suppress(WorkerLostError):       # with its node
                warden = self._session.warden(self._node)
                self.trouble = warden.end(place.process)
                warden.note(place.note)
        if host is not None:
            self._ray.kill(host)

    def _loading(self, what: str) -> Allowance:
        return Allowance(self._settings.load_s, JobError(Status.INFRASTRUCTURE, "load-timeout", what))

    def _ask(self, method: str, *args: Any, allowed: Allowance) -> Any:
        self._asked = True
        started = time.monotonic()
        try:
            value = self._value(self._host.ask.remote(method, *args), allowed)
        except (JobError, VortexError):
            self._asked = False
            raise
        finally:
            taken = time.monotonic() - started
            allowed.left_s -= taken
            self._usage.busy_s += taken
        self._asked = False
        return value

    def _value(self, answer: Any, allowed: Allowance) -> Any:
        deadline = time.monotonic() + allowed.left_s
        while not self._ray.wait([answer], timeout=min(_POLL_S, max(0.0, deadline - time.monotonic())))[0]:
            self._watch(deadline, allowed.late)
        if time.monotonic() - self._looked > _LOOK_S:         # a row of quick answers is looked after as well
            self._watch(math.inf, allowed.late)
        errors = self._ray.exceptions
        try:
            return self._ray.get(answer)
        except errors.RayTaskError as error:
            if isinstance(error.cause, JobError | VortexError):
                raise error.cause from None
            self.end()
            raise WorkerLostError(str(error)) from error
        except errors.RayError as error:
            raise self._lost(str(error).splitlines()[0]) from error

    def _watch(self, deadline: float, late: JobError) -> None:
        """Raises JobError, WorkerLostError: then the worker is dead."""
        now = self._looked = time.monotonic()
        reading = self._read(self._place) if self._place is not None else _NOTHING
        if reading.state not in _STOPPED:
            self._stopped_since = now
        elif now - self._stopped_since > _STOPPED_S:          # it says nothing, and that is not the candidate's doing
            self.end()
            raise WorkerLostError("the worker was stopped from outside")
        if now >= deadline:
            self._end_late(deadline)
            raise late
        grown_bytes = reading.resident_bytes - self._allowed_bytes + self._settings.memory_bytes
        if self._allowed_bytes and grown_bytes > self._settings.memory_bytes:
            self._end_late(now)
            raise JobError(Status.MEMORY, "out-of-memory",
                           f"the worker grew by {grown_bytes:,} bytes; {self._settings.memory_bytes:,} are allowed")

    def _read(self, place: Place) -> Reading:
        try:
            return self._session.warden(self._node).read(place.process)
        except WorkerLostError:
            self.end()
            raise

    def _end_late(self, limit: float) -> None:
        self.end()
        self._overruns_s.append(time.monotonic() - limit)

    def _lost(self, why: str) -> WorkerLostError:
        """What is known of a death: the note is there when the process itself was at fault."""
        place, note = self._place, ""
        if place is not None:
            with suppress(WorkerLostError):
                note = self._session.warden(self._node).note(place.note)
        self.end()
        return WorkerLostError(why, note)


def _by_devices(answered: Answered, count: int) -> Answered:
    """The seconds that its engine worked, once for each device of the lease."""
    if _DEVICE_S not in answered.data:
        return answered
    return replace(answered, data={**answered.data, _DEVICE_S: answered.data[_DEVICE_S] * count})
