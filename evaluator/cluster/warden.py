"""What watches the workers of one node and ends them: in the driver for its own node, an actor on every other."""
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evaluator import processes
from evaluator.cluster.devices import taken_bytes
from evaluator.processes import Process
from evaluator.reaper import Reaper

GONE_S = 1.0                  # killing and making sure of it: with the interval of watching, under two seconds
_TREE_S = 1.0                 # how often children are looked for; the memory of known ones is read each time
_GPU_SLACK_BYTES = 512 << 20  # what a driver keeps, and what a neighbour may take meanwhile
_NOTE_LINES = 12


@dataclass(frozen=True, kw_only=True)
class Reading:
    """`state` as in proc(5), of the worker itself; `resident_bytes` of it and all that it started."""

    state: str
    resident_bytes: int


@dataclass
class _Ward:
    root: Process
    gpu_bytes: Mapping[int, int]              # by index: what was taken before the worker took any
    members: set[Process] = field(default_factory=set)
    looked: float = 0.0


class Warden:
    """Knows of each worker everything that it started, orphans included, and tells the reaper of it."""

    def __init__(self, reaper: Reaper | None = None) -> None:
        self._wards: dict[Process, _Ward] = {}
        self._reaper = reaper or Reaper()

    def take(self, worker: Process, gpu_ids: Sequence[int] = ()) -> None:
        """Watches a worker from now on; nothing is on its GPUs yet."""
        self._wards[worker] = _Ward(worker, taken_bytes(gpu_ids))
        self._reaper.tell(worker)

    def read(self, worker: Process) -> Reading:
        """How it stands with a worker; state "" for one that is gone."""
        ward = self._wards.setdefault(worker, _Ward(worker, {}))
        self._look(ward)
        return Reading(state=processes.state(worker.pid), resident_bytes=processes.resident_bytes(ward.members))

    def end(self, worker: Process) -> str:
        """Kills a worker and everything that it started. Says what could not be ended, or freed; "" where all is well."""
        ward = self._wards.pop(worker, None) or _Ward(worker, {})
        left = processes.end({ward.root, *ward.members}, GONE_S)
        if left:
            return f"processes {', '.join(str(one.pid) for one in sorted(left))} cannot be killed"
        return _held(ward.gpu_bytes)

    def note(self, path: str) -> str:
        """What a worker wrote as it died, and takes it away."""
        file = Path(path)
        try:
            text = file.read_text(errors="replace")
            file.unlink()
        except OSError:
            return ""
        return "\n".join(text.splitlines()[:_NOTE_LINES])

    def _look(self, ward: _Ward) -> None:
        now = time.monotonic()
        if now - ward.looked < _TREE_S:
            return
        found = processes.tree({ward.root, *ward.members})
        for one in sorted(found - ward.members):
            self._reaper.tell(one)
        ward.members, ward.looked = found, now


def _held(before: Mapping[int, int]) -> str:
    """Memory of GPUs that stays taken although its worker is gone."""
    until = time.monotonic() + GONE_S
    while more := {index: used - before[index] for index, used in taken_bytes(before).items()
                   if used - before[index] > _GPU_SLACK_BYTES}:
        if time.monotonic() > until:
            return " and ".join(f"{size:,} bytes of GPU {index} stay taken" for index, size in more.items())
    return ""
