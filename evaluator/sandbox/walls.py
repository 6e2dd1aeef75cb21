"""What a child puts around itself before it looks at a text: limits, files, system calls."""
import ctypes
import os
import resource
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from evaluator.sandbox import landlock

MORE_CPU_S = 5            # the wall clock ends a child first; this one is for a child that outlives its parent
MOST_FILE_BYTES = 64 << 20
MOST_HANDLES = 64
NEW_USER, NEW_MOUNTS, NEW_NET, NEW_IPC, NEW_UTS = 0x10000000, 0x00020000, 0x40000000, 0x08000000, 0x04000000
PRIVATE, NO_SUID, NO_DEVICES, NO_EXECUTE = (1 << 18) | (1 << 14), 2, 4, 8
SET_PARENT_DEATH_SIGNAL, SET_DUMPABLE = 1, 4
USER = 1000
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Walls:
    """`scratch` is the folder of this child, or "" where it may write nothing."""

    readable: Sequence[str]
    landlock: bool
    filter: Any
    base_bytes: int              # of address space, at the start of every child

    def close(self, scratch: str, wall_s: float, memory_bytes: int) -> None:
        """From here on this process computes, and that is all. Raises OSError."""
        for limit, most in ((resource.RLIMIT_AS, self.base_bytes + memory_bytes), (resource.RLIMIT_CPU, int(wall_s) + MORE_CPU_S),
                            (resource.RLIMIT_FSIZE, MOST_FILE_BYTES), (resource.RLIMIT_NOFILE, MOST_HANDLES),
                            (resource.RLIMIT_CORE, 0), (resource.RLIMIT_NPROC, 0), (resource.RLIMIT_MEMLOCK, 0)):
            resource.setrlimit(limit, (most, most))
        if self.landlock:
            landlock.restrict(self.readable, [scratch] if scratch else [])
        self.filter.load()


def address_space() -> int:
    """Bytes that this process has of it."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 (no more of the library than needed)
        return int(file.read().split()[0]) * resource.getpagesize()


def hide_memory() -> None:
    """No process of the same user may look into this one or its children."""
    _libc.prctl(SET_DUMPABLE, 0, 0, 0, 0)


def die_with_parent() -> None:
    """Whoever forked this process is single-threaded, as this signal wants it."""
    _libc.prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)


def enter_namespaces(scratch: str, size: int) -> bool:
    """Where the system lets it, a user of its own without rights outside, no network, and an empty `scratch` of `size` bytes
    that nobody else sees. False where it does not: then nothing is writable."""
    user, group = os.geteuid(), os.getegid()
    if _libc.unshare(NEW_USER | NEW_MOUNTS | NEW_NET | NEW_IPC | NEW_UTS):
        return False
    with suppress(OSError):
        for name, text in (("setgroups", "deny"), ("uid_map", f"{USER} {user} 1"), ("gid_map", f"{USER} {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123
                file.write(text)
        options = f"size={size},mode=700".encode()
        return not (_libc.mount(b"none", b"/", None, PRIVATE, None)
                    or _libc.mount(b"none", scratch.encode(), b"tmpfs", NO_SUID | NO_DEVICES | NO_EXECUTE, options))
    return False
