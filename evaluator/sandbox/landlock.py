"""Landlock, by its three system calls: which files a process may read, until it ends. Their numbers are the same on all
architectures. (The package of that name is a pre-release, and knows no scopes.)"""
import ctypes
import os
from collections.abc import Iterable

CREATE, ADD, RESTRICT = 444, 445, 446
VERSION = 1
BENEATH = 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE, IOCTL = 1, 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 15
OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL
KNOWN = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}    # rights of the first versions
ALL = (1 << 16) - 1                                                                  # and of those since the fifth
ALL_NET, SINCE_NET = 0b11, 4
ALL_SCOPES, SINCE_SCOPES = 0b11, 6           # abstract sockets and signals stay within
NO_NEW_PRIVILEGES = 38
_libc = ctypes.CDLL(None, use_errno=True)


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """Of the kernel's interface; 0 where there is none."""
    return max(0, int(_libc.syscall(CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(VERSION))))


def restrict(readable: Iterable[str], writable: Iterable[str]) -> None:
    """From now on files beneath `readable` may be read and those beneath `writable` made and changed; nothing else is opened,
    and nothing executed. Paths that do not exist are left out. Raises OSError."""
    known = version()
    files = KNOWN.get(known, ALL)
    head = _Ruleset(files, ALL_NET if known >= SINCE_NET else 0, ALL_SCOPES if known >= SINCE_SCOPES else 0)
    size = 24 if known >= SINCE_SCOPES else 16 if known >= SINCE_NET else 8
    ruleset = _checked(_libc.syscall(CREATE, ctypes.byref(head), ctypes.c_size_t(size), ctypes.c_uint32(0)))
    for path in readable:
        _allow(ruleset, path, READ_FILE | READ_DIR)
    for path in writable:
        _allow(ruleset, path, files & ~EXECUTE)
    _checked(_libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    _checked(_libc.syscall(RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint32(0)))
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return
    try:
        allowed = rights if os.path.isdir(path) else rights & OF_A_FILE  # noqa: PTH112 (pathlib is slower, once a child)
        rule = _Beneath(allowed, handle)
        _checked(_libc.syscall(ADD, ctypes.c_int(ruleset), ctypes.c_int(BENEATH), ctypes.byref(rule), ctypes.c_uint32(0)))
    finally:
        os.close(handle)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
