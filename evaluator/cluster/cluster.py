"""The Runner on Ray: leases workers, asks them, and decides whose fault it is when one is lost."""
import time
from collections.abc import Collection, Generator, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self

from evaluator.cluster.lease import Allowance, RemoteWorker, Usage
from evaluator.cluster.losses import Loss, WorkerLostError, verdict
from evaluator.cluster.pool import Pool, Slot, Want
from evaluator.cluster.runner import job_of, timed, too_long
from evaluator.cluster.session import Session
from evaluator.cluster.settings import ClusterSettings
from evaluator.report import Status
from evaluator.stage import Answered, Problem, Stage
from evaluator.worker import EngineFactory, Job, JobError
from vortex.config import OperatingPoint
from vortex.errors import EngineError
from vortex.ir import Graph
from vortex.serving import make_engine


class Cluster:
    """A Runner on Ray, and a context manager: `with Cluster() as cluster`. Workers and their models outlive a job."""

    def __init__(self, settings: ClusterSettings | None = None, engines: EngineFactory | None = None) -> None:
        self._settings = settings or ClusterSettings()
        self._engines = engines or partial(make_engine, gpus=self._settings.gpus_per_worker)
        self._session = Session(self._settings)
        self._pool: Pool | None = None
        self._opened = 0.0
        self._usage: dict[str, Usage] = {}
        self.overruns_s: list[float] = []      # from each limit that was broken to the certain end of what broke it

    def __enter__(self) -> Self:
        try:
            self._session.start()
            self._pool = Pool(self._session.nodes, self._settings.workers, self._settings.load_s)
            if not self.slots:
                raise EngineError("no node of the cluster has room for a worker",
                                  hint=f"A worker takes {self._settings.threads} CPUs, and where there are GPUs "
                                       f"{self._settings.gpus_per_worker} of a node's.")
        except BaseException:
            self._session.stop()
            raise
        self._opened = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._lent.close()
        for slot in self._lent.slots:
            if isinstance(slot.held, RemoteWorker):
                slot.held.end()
        self._session.stop()

    @property
    def slots(self) -> int:
        """How many workers there are now: nodes that came and went since are counted."""
        self._lent.refresh()
        return len(self._lent.slots)

    def usage(self) -> dict[str, Usage]:
        """What each worker's place did since the cluster was opened; a place without work was idle."""
        open_s = time.monotonic() - self._opened
        known = {**{slot.name: Usage() for slot in self._lent.slots}, **self._usage}
        return {name: Usage(busy_s=one.busy_s, idle_s=max(0.0, open_s - one.busy_s), engine_starts=one.engine_starts)
                for name, one in known.items()}

    def stream(self, stage: Stage, graph: Graph | None, point: OperatingPoint, problems: Sequence[Problem],
               done: Collection[tuple[str, int]], timeout_s: float) -> Generator[Answered, None, None]:
        """See Runner. A job whose worker is lost goes on with what is missing, on another where there is one.

        `timeout_s` is time that a worker works on it: waiting for a worker, and loading a model, do not count. Timings come
        last, with what the answers left of that time, and have a node without GPUs to themselves. What a worker used that was
        then lost does not count either: the machines are not the candidate's doing.
        """
        allowed = Allowance(timeout_s, too_long(timeout_s))
        for alone in (False, True):
            part = [problem for problem in problems if timed(stage, problem) is alone]
            if part:
                allowed = yield from self._part(job_of(stage, graph, point, part, done), alone, allowed)

    def _part(self, job: Job, alone: bool, given: Allowance) -> Generator[Answered, None, Allowance]:
        """Returns what is left of the time `given`."""
        seen, losses, lost_at = set(job.done), list[Loss](), set[str]()
        want = Want(warm=_warmth(job.point), alone=alone, avoid=lost_at)
        while True:
            allowed = replace(given)
            with self._lent.lend(want) as slot:
                try:
                    for answered in self._attempt(slot, replace(job, done=frozenset(seen)), allowed):
                        if (key := (answered.problem, answered.repeat)) not in seen:
                            seen.add(key)
                            yield answered
                    return allowed
                except WorkerLostError as lost:
                    losses.append(Loss(worker=lost.worker, answers=len(seen), why=lost.why, note=lost.note))
                except JobError as error:
                    if error.status is not Status.INFRASTRUCTURE:
                        raise
                    losses.append(Loss(worker=slot.name, answers=len(seen), why=error.message, code=error.code))
                lost_at.add(slot.name)
            if (end := verdict(losses, self._settings.lives)) is not None:
                raise end

    def _attempt(self, slot: Slot, job: Job, allowed: Allowance) -> Generator[Answered, None, None]:
        worker = self._worker(slot)
        name = slot.name
        try:
            if not worker.alive:
                worker.open(self._engines, self._settings.gpus_per_worker if slot.node.gpus else 0)
            name = worker.name
            worker.prepare(job.point)
            slot.warm = _warmth(job.point)
            yield from worker.run(job, allowed)
        except WorkerLostError as lost:
            lost.worker = name
            raise
        finally:
            worker.leave()
            if not worker.alive:
                slot.warm = ()
            if worker.trouble:
                self._lent.retire(slot)

    def _worker(self, slot: Slot) -> RemoteWorker:
        if not isinstance(slot.held, RemoteWorker):
            usage = self._usage.setdefault(slot.name, Usage())
            slot.held = RemoteWorker(self._session, slot.node.id, self._settings, usage, self.overruns_s)
        return slot.held

    @property
    def _lent(self) -> Pool:
        assert self._pool is not None, "a cluster is opened with `with`"
        return self._pool


def _warmth(point: OperatingPoint) -> tuple[str, ...]:
    return point.engine, point.model, point.hash
