"""Processes of this machine by way of /proc: what belongs to one, how much memory it holds, and its certain end.

Stdlib alone: the reaper starts with it in a few milliseconds.
"""
import math
import os
import signal
import time
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_LOOK_S = 0.01
LEASE = "VORTEX_LEASE"                    # names, in the environment of all that a worker starts, the worker
_DEAD = "ZX"                              # zombies are nobody's parents


@dataclass(frozen=True, order=True)
class Process:
    """A process, told from a later one of the same number by when it started (clock ticks since boot)."""

    pid: int
    started: int

    @property
    def lease(self) -> str:
        """What its environment says of LEASE, and that of all that it starts from then on."""
        return f"{self.pid}.{self.started}"

    @property
    def lives(self) -> bool:
        """Whether it is more than a zombie."""
        found = _stat(self.pid)
        return found is not None and found.started == self.started and found.state not in _DEAD


@dataclass(frozen=True)
class _Stat:
    state: str
    parent: int
    group: int
    started: int


def find(pid: int) -> Process | None:
    """The process of that number; None where there is none."""
    found = _stat(pid)
    return None if found is None else Process(pid, found.started)


def tree(roots: Iterable[Process]) -> set[Process]:
    """The roots and everything they started that has not been orphaned; those that are gone are left out."""
    children: dict[int, list[Process]] = defaultdict(list)
    alive = _alive()
    for one, found in alive.items():
        children[found.parent].append(one)
    left, members = [root for root in roots if root in alive], set[Process]()
    while left:
        one = left.pop()
        if one not in members:
            members.add(one)
            left += children[one.pid]
    return members


def strays(workers: Collection[Process]) -> set[Process]:
    """What workers started although they may be gone, and the parents between: by the environment, and by the group."""
    leases, groups = {one.lease for one in workers}, {one.pid: one.started for one in workers}
    return {one for one, found in _alive().items()
            if groups.get(found.group, math.inf) <= one.started or _lease(one.pid) in leases}


def resident_bytes(members: Collection[Process]) -> int:
    """Resident memory, pages that they share counted for each; those that are gone count nothing."""
    return sum(_resident(one.pid) for one in members)


def state(pid: int) -> str:
    """One letter as in proc(5): R runs, S sleeps, T is stopped, Z is dead; "" for a process that is gone."""
    found = _stat(pid)
    return "" if found is None else found.state


def end(members: Collection[Process], within_s: float) -> set[Process]:
    """Kills them and all that they started, strays included; what still lives after `within_s` seconds comes back.

    They are stopped first, so that none can start another while the rest is looked for.
    """
    known: set[Process] = set()
    while more := (tree({*members, *known}) | strays(members)) - known:
        _signal(more, signal.SIGSTOP)
        known |= more
    until = time.monotonic() + within_s
    _signal(known, signal.SIGKILL)
    while left := {one for one in known if one.lives}:
        if time.monotonic() > until:
            return left
        time.sleep(_LOOK_S)
    return set()


def _signal(members: Iterable[Process], number: signal.Signals) -> None:
    for one in members:
        if find(one.pid) == one:
            try:
                os.kill(one.pid, number)
            except (ProcessLookupError, PermissionError):
                continue


def _alive() -> dict[Process, _Stat]:
    pids = (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())
    return {Process(pid, found.started): found for pid in pids if (found := _stat(pid)) is not None and found.state not in _DEAD}


def _lease(pid: int) -> str:
    name = f"{LEASE}="
    try:
        words = (_PROC / str(pid) / "environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    return next((word.removeprefix(name) for word in words if word.startswith(name)), "")


def _stat(pid: int) -> _Stat | None:
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        return _Stat(fields[0], int(fields[1]), int(fields[2]), int(fields[19]))
    except (OSError, IndexError):
        return None


def _resident(pid: int) -> int:
    try:
        return int((_PROC / str(pid) / "statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0
