"""A storm over a simulated cluster: workers and wardens killed, nodes lost, candidates that hang, eat and die, a full disk.

Every process of the trial carries a mark in its environment, by which what is left of it is found.
"""
import os
import random
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import ray
from ray import cloudpickle
from ray.cluster_utils import Cluster as Machines

from evaluator.cluster import Cluster, ClusterSettings
from evaluator.funnel import Funnel, MemoryBook, Silent, Work
from evaluator.report import Status
from tests.evaluator import scripted
from tests.evaluator.scripted import POINT, Script, graph, make_scripted

NODES, ROWS, AGAIN = 3, 6, 20
HANG_S, WHOLE_S = 1.0, 60.0
MARK = "VORTEX_FAULTS_TRIAL"
ENDS = {"": Status.OK, "hang": Status.TIMEOUT, "eat": Status.MEMORY, "start one that eats": Status.MEMORY, "die": Status.CRASH,
        "raise": Status.CRASH, "fill": Status.OK}
SHARES = {"": 80, "hang": 4, "eat": 4, "start one that eats": 3, "die": 3, "raise": 3, "fill": 3}


@dataclass
class Tally:
    """What came of a trial; every count under a name that says what is wrong must be 0."""

    evaluations: int
    kinds: dict[str, int] = field(default_factory=dict)
    storm: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    infrastructure: int = 0
    lost_rows: int = 0
    doubled_rows: int = 0
    wrong_verdicts: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    code: set[str] = field(default_factory=set)            # where the workers had ours from
    overruns_s: list[float] = field(default_factory=list)
    seconds: float = 0.0
    allowed_s: float = 2.0

    @property
    def faults(self) -> list[str]:
        """What must not be."""
        said = [*self.wrong_verdicts, *(f"left behind: {one}" for one in self.orphans)]
        said += [f"{count} rows {what}" for what, count in (("lost", self.lost_rows), ("doubled", self.doubled_rows)) if count]
        said += [f"a worker ran {path}" for path in self.code if "vortex-code-" not in path]
        return said + [f"a limit was overrun by {late:.2f} s" for late in self.overruns_s if late > self.allowed_s]


class Storm(threading.Thread):
    """Kills what Ray runs, and takes nodes away and brings others, until it is told to stop."""

    def __init__(self, machines: Any, rng: random.Random, tally: "Tally", every: int) -> None:
        super().__init__(daemon=True)
        self._machines, self._rng, self._tally, self._every = machines, rng, tally, every
        self._over = threading.Event()
        self._own = ray.get_runtime_context().get_node_id()

    def run(self) -> None:
        """A blow after so many attempts, in whatever they do then: on a slow machine as often as on a fast one."""
        due = 0
        while not self._over.wait(0.01):
            if self._tally.attempts < due:
                continue
            due = self._tally.attempts + self._rng.randint(1, 2 * self._every)
            self._over.wait(self._rng.uniform(0.0, 0.5))
            if self._rng.random() < 0.15:
                self._lose_a_node()
            elif victims := [one for one in marked(os.environ[MARK]) if _is_host(one)]:
                self._rng.choice(victims).kill()
                self._tally.storm["a worker or warden was killed"] += 1

    def stop(self) -> None:
        self._over.set()
        self.join()

    def _lose_a_node(self) -> None:
        there = [node for node in self._machines.worker_nodes if node.unique_id != self._own]
        self._machines.remove_node(self._rng.choice(sorted(there, key=lambda node: str(node.unique_id))), allow_graceful=False)
        self._tally.storm["a node was lost"] += 1
        self._over.wait(self._rng.uniform(0.0, 2.0))
        self._machines.add_node(num_cpus=1)


def _is_host(process: psutil.Process) -> bool:
    try:
        return bool(process.cmdline()) and process.cmdline()[0].startswith("ray::Host")
    except psutil.Error:
        return False


def marked(mark: str) -> list[psutil.Process]:
    """Processes that live and bear the mark, but for this one."""
    found = []
    for one in psutil.process_iter():
        try:
            if one.pid != os.getpid() and one.status() != psutil.STATUS_ZOMBIE and one.environ().get(MARK) == mark:
                found.append(one)
        except psutil.Error:
            continue
    return found


def moves(kind: str, room: Path, number: int) -> tuple[float | str, ...]:
    """A few rows, with what goes wrong in their midst."""
    wrong = f"fill once {room / f'{number}'} {room / 'disk'}" if kind == "fill" else kind
    plain: list[float | str] = [1.0] * ROWS
    return tuple(plain if not kind else [*plain[:3], wrong, *plain[4:]])


def judge(cluster: Cluster, kind: str, room: Path, number: int, tally: Tally, lock: threading.Lock) -> None:
    """One evaluation; where the infrastructure failed it goes on with what is kept, as a resumed campaign does."""
    script = Script(moves(kind, room, number), timeout_s=HANG_S if kind == "hang" else WHOLE_S, pace_s=0.01)
    book, work = MemoryBook(), Work(name=f"flow {number}", source="", graph=graph(), point=POINT)
    kept = 0
    for _ in range(AGAIN):
        status = Funnel([script], cluster).judge(work, book, Silent()).status
        with lock:
            tally.attempts += 1
            tally.infrastructure += status is Status.INFRASTRUCTURE
            tally.lost_rows += max(0, kept - len(book.kept))
        kept = len(book.kept)
        if status is not Status.INFRASTRUCTURE:
            break
    rows = [(row.problem, row.repeat) for row in book.kept]
    wanted = ROWS if ENDS[kind] is Status.OK else 3
    with lock:
        tally.code |= {str(row.data["code"]) for row in book.kept}
        tally.doubled_rows += len(rows) - len(set(rows))
        tally.lost_rows += max(0, wanted - len(set(rows)))
        if status is not ENDS[kind]:
            result = book.results[script.name]
            tally.wrong_verdicts.append(f"a candidate of kind {kind!r} ended as {status.value}: {result.code} {result.message}")


@contextmanager
def machines() -> Iterator[Any]:
    """A head without a place for workers, and nodes with one each."""
    cloudpickle.register_pickle_by_value(scripted)  # type: ignore[no-untyped-call]
    made: Any = Machines(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False},
                         shutdown_at_exit=False)
    try:
        for _ in range(NODES):
            made.add_node(num_cpus=1)
        yield made
    finally:
        made.shutdown()
        cloudpickle.unregister_pickle_by_value(scripted)  # type: ignore[no-untyped-call]


def trial(evaluations: int, seed: int, room: Path, every: int) -> Tally:
    """Judges that many candidates, one of each kind and the others drawn by their shares, in the midst of a storm with a blow
    to about `every` of them. `room/disk` is a small disk, or a full one."""
    mark = os.environ[MARK] = uuid.uuid4().hex
    rng, lock, started = random.Random(seed), threading.Lock(), time.monotonic()
    kinds = [*SHARES, *rng.choices(list(SHARES), list(SHARES.values()), k=evaluations - len(SHARES))]
    rng.shuffle(kinds)
    tally = Tally(evaluations, kinds=dict(Counter(kind or "plain" for kind in kinds)))
    settings = ClusterSettings(memory_bytes=256 << 20, load_s=60.0, silent_s=5.0)
    with machines() as made:
        with Cluster(ClusterSettings(**{**vars(settings), "address": made.address}), make_scripted) as cluster:
            storm = Storm(made, rng, tally, every)
            storm.start()
            with ThreadPoolExecutor(NODES) as threads:
                list(threads.map(lambda job: judge(cluster, job[1], room, job[0], tally, lock), enumerate(kinds)))
            storm.stop()
            tally.overruns_s = cluster.overruns_s
        _, left = psutil.wait_procs([one for one in marked(mark) if _is_host(one)], timeout=10)
        tally.orphans += [f"{one.pid} of the workers" for one in left]
    _, left = psutil.wait_procs(marked(mark), timeout=10)
    for one in left:
        tally.orphans.append(f"{one.pid} {' '.join(one.cmdline())[:80]}")
        one.send_signal(signal.SIGKILL)
    tally.seconds = time.monotonic() - started
    return tally
