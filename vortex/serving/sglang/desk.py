"""Where a replica's first rank listens: a request becomes an errand in the scheduler's own queue, answers come back as files.

The thread here never touches the engine, and the scheduler never waits for it. Nothing here knows SGLang.
"""
import hmac
import json
import socket
import socketserver
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vortex.errors import EngineError, VortexError
from vortex.serving.sglang.control import HOST, Address, Answer, read_answers

POLL_S = 0.005
MOST_BYTES = 64 << 20                     # of a request: graphs carry their parameters


@dataclass(frozen=True)
class Errand:
    """What reaches every rank through SGLang's own broadcast, in the order of all requests."""

    request: str                          # JSON
    folder: str                           # for the answers


class Desk:
    """Listens from when it is made; `close` ends it. `ranks` are those that answer."""

    def __init__(self, folder: Path, replica: int, ranks: Sequence[int]) -> None:
        self._folder = folder
        self._ranks = tuple(ranks)
        self._waiting: deque[Errand] = deque()
        self.bell, self._rope = socket.socketpair()     # wakes a scheduler that sleeps on its sockets
        self.bell.setblocking(False)
        self._rope.setblocking(False)
        self._server = _Server((HOST, 0), _Caller)
        self._server.desk = self
        self.address = Address(port=self._server.server_address[1])
        self.address.leave(folder, replica)
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="vortex control", daemon=True).start()

    def taken(self) -> list[Errand]:
        """What came in since the last time."""
        self._hush()                      # first, and always: a bell heard late would wake the scheduler for ever
        taken = []
        while self._waiting:
            taken.append(self._waiting.popleft())
        return taken

    def carried_out(self, request: str, timeout_s: float) -> list[Answer]:
        """Waits for all ranks. Raises EngineError."""
        with tempfile.TemporaryDirectory(prefix="answers-", dir=self._folder, ignore_cleanup_errors=True) as folder:
            self._waiting.append(Errand(request, folder))
            self._ring()
            end = time.monotonic() + timeout_s
            while (answers := read_answers(Path(folder), self._ranks)) is None:
                if time.monotonic() > end:
                    raise EngineError(f"a rank did not answer within {timeout_s:g} s", hint="It may still do what was asked.")
                time.sleep(POLL_S)
        return answers

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _ring(self) -> None:
        with suppress(BlockingIOError):   # it rings already
            self._rope.send(b"!")

    def _hush(self) -> None:
        with suppress(BlockingIOError):   # it does not ring
            self.bell.recv(4096)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    desk: Desk


class _Caller(socketserver.StreamRequestHandler):
    server: _Server
    timeout = 30.0                        # seconds that a caller may keep silent

    def handle(self) -> None:
        try:
            answers = self._answers()
        except TimeoutError:
            return
        except VortexError as error:
            answers = [{"ok": False, "error": dict(error.to_json())}]
        with suppress(OSError):           # it did not wait
            self.wfile.write(json.dumps(answers).encode() + b"\n")

    def _answers(self) -> list[Answer]:
        try:
            asked: Any = json.loads(self.rfile.readline(MOST_BYTES))
            token, request, timeout_s = asked["token"], asked["request"], float(asked["timeout_s"])
        except (ValueError, TypeError, KeyError) as error:
            raise EngineError("a request is one line of JSON: token, request, timeout_s") from error
        if not hmac.compare_digest(str(token).encode(), self.server.desk.address.token.encode()):
            raise EngineError("the token is not this server's")
        return self.server.desk.carried_out(json.dumps(request), timeout_s)
