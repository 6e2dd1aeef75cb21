"""The warm parent behind the wall: has the language loaded, forks one child a request, and ends it when its caller leaves.

It never reads what children say: each answers its caller directly. Commands come over file 0, a socket of packets whose
other end the caller of `sandbox.Sandbox` holds; when that closes, all ends.
"""
import gc
import json
import os
import selectors
import shutil
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from evaluator.sandbox import crossing, landlock, syscalls, walls

MOST_CONFIG = 1 << 17
NULL, DATA = "/dev/null", 3
PRELOADED = ("evaluator.sandbox.entries", "encodings.idna", "unicodedata")


@dataclass(frozen=True)
class Call:
    """A child, and the socket that its caller holds the other end of."""

    pid: int
    leash: socket.socket
    scratch: str


class Keeper:
    """Serves one caller process; may have many children at once."""

    def __init__(self, control: socket.socket, inside: walls.Walls, scratch: str) -> None:
        self._control = control
        self._walls = inside
        self._scratch = scratch
        self._count = 0
        self._alive: set[int] = set()
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ, self._accept)

    def serve(self) -> None:
        """Until the caller is gone."""
        while True:
            for key, _ in self._selector.select():
                key.data()

    def _accept(self) -> None:
        message, handles, _, _ = socket.recv_fds(self._control, 16, 2)
        if not message:
            os._exit(0)                       # its children die with it
        data, leash = handles[0], socket.socket(fileno=handles[1])
        self._count += 1
        scratch = self._fresh()
        pid = os.fork()
        if pid == 0:
            _work(data, scratch, self._walls)
        os.close(data)
        self._alive.add(pid)
        call = Call(pid, leash, scratch)
        ended = os.pidfd_open(pid)
        self._selector.register(leash, selectors.EVENT_READ, partial(self._let_go, call))
        self._selector.register(ended, selectors.EVENT_READ, partial(self._bury, call, ended))

    def _fresh(self) -> str:
        """A folder for one child; none where others have filled the space for all."""
        folder = f"{self._scratch}/{self._count}" if self._scratch else ""
        try:
            if folder:
                Path(folder).mkdir()
        except OSError:
            return ""
        return folder

    def _let_go(self, call: Call) -> None:
        """The caller has what it wanted, gave up, or is gone."""
        if call.pid in self._alive:           # else it was buried a moment ago, and the number may be another's
            self._selector.unregister(call.leash)
            os.kill(call.pid, signal.SIGKILL)

    def _bury(self, call: Call, ended: int) -> None:
        self._selector.unregister(ended)
        os.close(ended)
        _, status = os.waitpid(call.pid, 0)
        self._alive.discard(call.pid)
        with suppress(KeyError):
            self._selector.unregister(call.leash)
        if call.scratch:
            _remove(call.scratch)
        with suppress(OSError):
            call.leash.send(json.dumps({"exit": os.waitstatus_to_exitcode(status)}).encode())
        call.leash.close()


def _remove(folder: str) -> None:
    """All of it, whatever rights its owner took from itself."""
    for path, _, _ in os.walk(folder):
        Path(path).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def _work(data: int, scratch: str, inside: walls.Walls) -> None:
    """A child's whole life: nothing of the parent's is open, then the question, the walls, the answer."""
    status = 1
    try:
        _only(data)
        os.chdir(scratch or "/")
        os.environ["HOME"] = scratch or "/"
        walls.die_with_parent()
        with socket.socket(fileno=DATA) as pipe, pipe.makefile("rb") as file:
            asked = json.loads(file.read())
            pipe.detach()
        module, _, name = asked["function"].partition(":")
        function = getattr(import_module(module), name)
        inside.close(scratch, asked["wall_s"], asked["memory_bytes"])
        _write(crossing.computed(function, asked["args"], asked["memory_bytes"]))
        status = 0
    finally:
        os._exit(status)


def _only(data: int) -> None:
    """Leaves `data`, as file 3, and nothing on the first three."""
    os.dup2(data, DATA)
    null = os.open(NULL, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    os.closerange(DATA + 1, os.sysconf("SC_OPEN_MAX"))


def _write(answer: bytes) -> None:
    rest = memoryview(answer)
    while rest:
        rest = rest[os.write(DATA, rest):]


def main() -> None:
    """Says on the control socket how it stands, then serves."""
    control = socket.socket(fileno=0)
    config: Mapping[str, Any] = json.loads(control.recv(MOST_CONFIG))
    sys.path.extend(config["path"])
    for module in (*PRELOADED, *config["modules"]):
        import_module(module)
    scratch = config["scratch"]
    if scratch and not config["mounted"] and not walls.enter_namespaces(scratch, config["scratch_bytes"]):
        scratch = ""
    locked = landlock.version() if config["landlock"] else 0
    inside = walls.Walls(config["readable"], bool(locked), syscalls.make_filter(), walls.address_space())
    walls.hide_memory()
    gc.freeze()
    control.send(json.dumps({"landlock": locked, "scratch": scratch}).encode())
    Keeper(control, inside, scratch).serve()
