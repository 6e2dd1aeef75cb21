"""What processes share in memory: semaphores and segments, which stay where they are when processes are killed."""
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

PLACE = "/dev/shm/"
PROCESSES = Path("/proc")


def members(group: int) -> set[int]:
    """The processes of a group, zombies left out."""
    return {pid for pid in _processes() if _told(pid) == group}


def shared_by(pids: Iterable[int]) -> set[Path]:
    """What they map now. By inode: a semaphore is opened under one name and kept under another."""
    mapped = {inode for pid in pids for inode in _mapped(pid)}
    return {Path(entry.path) for entry in os.scandir(PLACE) if entry.inode() in mapped} if mapped else set()


def forget(paths: Collection[Path], ending: Collection[int] = ()) -> None:
    """Removes those that no process maps any more; `ending` are processes that do not count."""
    if paths:
        for path in set(paths) - shared_by(set(_processes()) - set(ending)):
            with suppress(OSError):
                path.unlink()


def _processes() -> Iterator[int]:
    return (int(entry.name) for entry in PROCESSES.glob("[0-9]*"))


def _told(pid: int) -> int | None:
    """Its group; None for a process that is gone."""
    try:
        state, _, group = (PROCESSES / str(pid) / "stat").read_text().rpartition(")")[2].split()[:3]
    except OSError:
        return None
    return None if state in "ZX" else int(group)


def _mapped(pid: int) -> set[int]:
    """Inodes."""
    try:
        lines = (PROCESSES / str(pid) / "maps").read_text().splitlines()
    except OSError:
        return set()
    return {int(line.split(maxsplit=5)[4]) for line in lines if PLACE in line}
