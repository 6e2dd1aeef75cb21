"""A warm parent behind a wall, as its caller holds it: started on first use, started again when it died, asked by any thread."""
import json
import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from evaluator.sandbox import crossing
from evaluator.sandbox.means import ENVIRONMENT, SCRATCH_BYTES, Means, readable
from vortex.child import GIVE_UP_S, silent
from vortex.errors import ChildCrash, ChildTimeout

Result = TypeVar("Result")
START_S = 60.0
MOST_STARTS = 3
PART = 1 << 16
MOST_TOLD = 1000


class SandboxBroken(Exception):
    """The wall could not be put up, or the warm parent is gone."""


class Sandbox:
    """See `run`. `more` are paths that children may read and import from, `modules` are loaded before any child is forked."""

    def __init__(self, means: Means, *, more: Sequence[str] = (), modules: Sequence[str] = ()) -> None:
        self.means = means
        self.told: dict[str, Any] = {}              # what the parent says of itself
        self._more, self._modules = more, modules
        self._lock = threading.Lock()
        self._parent: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._owner = 0

    def run(self, function: Callable[..., Result], *args: Any, wall_s: float, memory_bytes: int) -> Result:
        """As `vortex.child.run`, behind the wall: arguments and value are JSON. The function is importable there.

        Raises what that raises, and SandboxBroken.
        """
        question = crossing.request(function, args, wall_s, memory_bytes)
        for _ in range(MOST_STARTS):
            with suppress(_Lost):
                value: Result = crossing.opened(self._asked(question, function.__name__, wall_s), function.__name__)
                return value
        raise SandboxBroken("the warm parent dies again and again")

    def start(self) -> None:
        """Raises SandboxBroken with what stood in the way."""
        with self._lock:
            self._start()

    def close(self) -> None:
        """Ends the parent and with it every child."""
        with self._lock:
            self._stop()

    def _asked(self, question: bytes, name: str, wall_s: float) -> bytes:
        """The answer of one child, which is gone afterwards. Raises ChildFailure and _Lost."""
        here, there = socket.socketpair()
        leash, held = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with here, leash:
            with there, held:
                self._send(there.fileno(), held.fileno())
            try:
                answer = _exchanged(here, question, name, wall_s)
            finally:
                code = self._ended(leash)
            if not answer:
                raise silent(name, code)
            return answer

    def _ended(self, leash: socket.socket) -> int:
        """Lets the child go and waits for its end. Raises _Lost where nobody is left to tell of it."""
        try:
            leash.settimeout(GIVE_UP_S)
            leash.shutdown(socket.SHUT_WR)
            return int(json.loads(leash.recv(PART))["exit"])
        except (OSError, ValueError) as error:
            raise _Lost from error

    def _send(self, *handles: int) -> None:
        with self._lock:
            for _ in range(MOST_STARTS):
                if self._control is None or self._owner != os.getpid():
                    self._start()
                try:
                    assert self._control is not None
                    socket.send_fds(self._control, [b"call"], handles)
                    return
                except OSError:
                    self._stop()
        raise SandboxBroken("the warm parent takes no question")

    def _start(self) -> None:
        paths = readable(self._more)
        config = {"readable": paths, "path": list(self._more), "modules": list(self._modules),
                  "scratch": self.means.scratch, "mounted": self.means.mounted, "landlock": self.means.landlock,
                  "scratch_bytes": SCRATCH_BYTES}
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with there, tempfile.TemporaryFile() as said:
            try:
                self._parent = subprocess.Popen(list(self.means.command(paths)), stdin=there.fileno(), stderr=said,
                                                stdout=subprocess.DEVNULL, env=ENVIRONMENT, start_new_session=True)
                there.close()
                here.settimeout(START_S)
                here.send(json.dumps(config).encode())
                self.told = json.loads(here.recv(PART))
            except (OSError, ValueError) as error:
                here.close()
                self._stop()
                said.seek(0)
                told = said.read().decode(errors="replace").strip()[-MOST_TOLD:].rpartition("\n")[2]
                raise SandboxBroken(told or str(error)) from error
        here.settimeout(None)
        self._control, self._owner = here, os.getpid()

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._parent is not None and self._owner in (0, os.getpid()):
            with suppress(subprocess.TimeoutExpired):
                self._parent.wait(GIVE_UP_S)
            self._parent.kill()
            self._parent.wait()
        self._control = self._parent = None


class _Lost(Exception):
    """The parent died during a question; whoever asked it is not to blame."""


def _exchanged(here: socket.socket, question: bytes, name: str, wall_s: float) -> bytes:
    """What the child answers; empty where it leaves without a word. Raises ChildTimeout and ChildCrash."""
    until, parts, size = time.monotonic() + wall_s, [], 0
    try:
        here.settimeout(wall_s)
        here.sendall(question)
        here.shutdown(socket.SHUT_WR)
        while part := here.recv(PART):
            parts.append(part)
            size += len(part)
            if size > crossing.MOST_BYTES:
                raise ChildCrash(f"{name} answered more than {crossing.MOST_BYTES:,} bytes")
            here.settimeout(max(0.001, until - time.monotonic()))
    except TimeoutError:
        raise ChildTimeout(f"{name} did not end within {wall_s:g} s", hint="Make it smaller, or allow it more time.") from None
    except (BrokenPipeError, ConnectionResetError):
        return b""
    return b"".join(parts)
