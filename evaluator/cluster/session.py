"""A Ray that is ours or that runs elsewhere: its nodes, actors on them, a warden for each, and the certain end of all."""
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from evaluator import processes
from evaluator.cluster.devices import VISIBLE, usable
from evaluator.cluster.host import Host, packed
from evaluator.cluster.losses import WorkerLostError
from evaluator.cluster.pool import Node
from evaluator.cluster.settings import ClusterSettings
from evaluator.cluster.warden import Reading, Warden
from evaluator.processes import Process
from evaluator.reaper import Reaper
from vortex.errors import EngineError, MissingExtra

_START_S = 60.0


class Session:
    """start -> (nodes | host | warden)* -> stop. Every method but those two may be called from several threads."""

    def __init__(self, settings: ClusterSettings) -> None:
        self._settings = settings
        self.ray: Any = None
        self._code: Any = None
        self._node = ""
        self._reaper: Reaper | None = None
        self._own: Warden | None = None
        self._wardens: dict[str, RemoteWarden] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        """Raises EngineError, MissingExtra."""
        self.ray = _load_ray()
        own = self._settings.address is None
        workers, threads = self._settings.workers or 1, self._settings.threads
        names = usable() if own else []
        if names:
            os.environ[VISIBLE] = ",".join(names)     # Ray hands out these: a count alone would name the first ones
        count = len(names)
        cpus = threads * max(workers, count // self._settings.gpus_per_worker)
        started = {"num_cpus": cpus, "num_gpus": count, "include_dashboard": False,
                   "object_store_memory": 100 << 20} if own else {}
        os.environ["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", str(threads))
        before = processes.tree([_this()])
        try:
            with _own_sigterm():
                self.ray.init(address=self._settings.address or "local", log_to_driver=False, logging_level="ERROR", **started)
        except (OSError, ConnectionError, RuntimeError, TimeoutError) as error:
            hint = "`ray stop` ends what an earlier run left." if own else "Is there a Ray at that address, of the same version?"
            raise EngineError(f"Ray did not start: {error}", hint=hint) from error
        self._reaper = Reaper(processes.tree([_this()]) - before)
        self._own = Warden(self._reaper)
        self._node = self.ray.get_runtime_context().get_node_id()
        self._code = None if own else self.ray.put(packed())

    def stop(self) -> None:
        """Ends the session: a Ray of our own, and on another the actors that are ours."""
        if self.ray is not None:
            self.ray.shutdown()
        if self._reaper is not None:
            self._reaper.stop()
        self._reaper = None

    def nodes(self) -> list[Node]:
        """Those that are alive, with room for as many workers as the settings give them."""
        with self._lock:
            found = [node for node in self.ray.nodes() if node["Alive"]]
        offers = {node["NodeID"]: (node["Resources"].get("CPU", 0), node["Resources"].get("GPU", 0)) for node in found}
        return [Node(id=name, room=self._settings.slots_of(cpus, gpus), gpus=bool(gpus)) for name, (cpus, gpus) in offers.items()]

    def host(self, node: str, cpus: int, gpus: int) -> Any:
        """A new Host on that node, with our code; it takes none of Ray's own restarts."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # Ray is loaded when a cluster is opened

        options = {"num_cpus": cpus, "num_gpus": gpus, "max_restarts": 0,
                   "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)}
        return self.ray.remote(**options)(Host).remote(self._code)

    def warden(self, node: str) -> "Warden | RemoteWarden":
        """Who watches the workers of that node."""
        if node == self._node and self._own is not None:
            return self._own
        with self._lock:
            if node not in self._wardens:
                self._wardens[node] = RemoteWarden(self, node, self._settings.silent_s)
            return self._wardens[node]

    def dismiss(self, node: str) -> None:
        """Another warden will be made for that node, if it is asked for one."""
        with self._lock:
            self._wardens.pop(node, None)


class RemoteWarden:
    """A Warden on another node. Raises WorkerLostError where node or warden is gone, or silent for too long."""

    def __init__(self, session: Session, node: str, silent_s: float) -> None:
        self._session = session
        self._node = node
        self._silent_s = silent_s
        self._host = session.host(node, 0, 0)
        self._host.make.remote("evaluator.cluster.warden", "Warden")

    def take(self, worker: Process, gpu_ids: list[int]) -> None:
        """See Warden."""
        self._ask("take", worker, gpu_ids)

    def read(self, worker: Process) -> Reading:
        """See Warden."""
        reading: Reading = self._ask("read", worker)
        return reading

    def end(self, worker: Process) -> str:
        """See Warden."""
        return str(self._ask("end", worker))

    def note(self, path: str) -> str:
        """See Warden."""
        return str(self._ask("note", path))

    def _ask(self, method: str, *args: Any) -> Any:
        ray = self._session.ray
        try:
            return ray.get(self._host.ask.remote(method, *args), timeout=self._silent_s)
        except ray.exceptions.GetTimeoutError as error:
            self._session.dismiss(self._node)
            raise WorkerLostError(f"node {self._node[:8]} did not answer for {self._silent_s:g} s") from error
        except ray.exceptions.RayError as error:
            self._session.dismiss(self._node)
            raise WorkerLostError(f"node {self._node[:8]}: {str(error).splitlines()[0]}") from error


def _load_ray() -> Any:
    """Ray reads the environment once: no statistics sent, nothing printed between our own lines, and a worker that is as
    important as what it is timed beside."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
                   "RAY_DEDUP_LOGS_SKIP_REGEX": ".", "RAY_worker_niceness": "0"}
    try:
        import ray
        import ray.cloudpickle
        import ray.exceptions
    except ImportError as error:
        raise MissingExtra("Ray is not installed", hint='pip install "vortex-platform[eval]"') from error
    # A node need not have our code: the class that brings it travels whole.
    ray.cloudpickle.register_pickle_by_value(sys.modules[Host.__module__])  # type: ignore[no-untyped-call]
    return ray


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keeps what this process does at SIGTERM: Ray would print a trace."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


def _this() -> Process:
    found = processes.find(os.getpid())
    assert found is not None, "this process is there"
    return found
