"""The process that holds SGLang for the engine, as its parent knows it: JSON lines over a socket pair, logs in a file.

What is asked is {"id": N, "do": ..., ...}; each answer bears the same id, and the last of them "done": true.
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from vortex import errors
from vortex.errors import EngineError, VortexError
from vortex.serving.sglang.failures import explain

MODULE = "vortex.serving.sglang.host"
LOG, ARGUMENTS = "log", "arguments.json"
STOP_S = 40.0                             # what SGLang may take to end by itself
PREFIX = "vortex-sglang-"
OF_OTHERS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")     # of this Python, not of SGLang's


class HostProcess:
    """A host and all of its children; they end with `stop`, and by themselves once this process is gone, however it went."""

    def __init__(self, python: str, folder: Path, arguments: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        """`folder` is the host's own and goes with it; `arguments` are SGLang's."""
        self.folder = folder
        (folder / "tmp").mkdir(exist_ok=True)
        (folder / ARGUMENTS).write_text(json.dumps(arguments))
        ours, theirs = socket.socketpair()
        told = {name: value for name, value in os.environ.items() if name not in OF_OTHERS}
        with theirs, (folder / LOG).open("ab") as log:
            self._process = subprocess.Popen(
                [python, "-P", "-m", MODULE, str(theirs.fileno()), str(folder)], pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**told, **environment, "TMPDIR": str(folder / "tmp")})
        self._socket = ours
        self._lines = ours.makefile("rb")
        self._last = 0

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ready(self) -> Any:
        """What SGLang says of itself once it is up. Raises as `ask` does."""
        return next(self.answers(0))

    def ask(self, do: str, **what: Any) -> Any:
        """The one answer. Raises what the host says, EngineError where it is gone."""
        answers = list(self.answers(self.send(do, **what)))
        return answers[0] if answers else None

    def send(self, do: str, **what: Any) -> int:
        """Asks and does not wait: `answers` of the number that comes back."""
        self._last += 1
        try:
            self._socket.sendall(json.dumps({"id": self._last, "do": do, **what}).encode() + b"\n")
        except OSError as error:
            raise self.gone() from error
        return self._last

    def answers(self, number: int) -> Iterator[Any]:
        """Until the last; those to questions that were given up are passed over. Raises as `ask` does."""
        while True:
            message = self._next()
            if message["id"] != number:
                continue
            if "error" in message:
                raise error_of(message["error"])
            if message.get("done"):
                return
            yield message["answer"]

    def _next(self) -> dict[str, Any]:
        try:
            line = self._lines.readline()
        except OSError as error:
            raise self.gone() from error
        if not line.endswith(b"\n"):
            raise self.gone()
        message: dict[str, Any] = json.loads(line)
        return message

    def gone(self) -> VortexError:
        """Why it ended; whatever is left of it ends as well."""
        self._kill()
        log = (self.folder / LOG).read_text(errors="replace") if (self.folder / LOG).is_file() else ""
        return explain(log)

    def stop(self) -> None:
        """Afterwards no process of it is alive, and its folder is gone."""
        with suppress(VortexError, OSError, subprocess.TimeoutExpired):
            if self.alive:
                self.send("stop")
                self._process.wait(STOP_S)
        self._kill()
        self._lines.close()
        self._socket.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _kill(self) -> None:
        """The whole group: what SGLang started does not leave it."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def new_folder() -> Path:
    """Short, since it holds sockets."""
    return Path(tempfile.mkdtemp(prefix=PREFIX))


def lives(pid: int) -> bool:
    """Whether a process of this machine is more than a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def error_of(told: Mapping[str, Any]) -> VortexError:
    """What VortexError.to_json said, as an error of the same class."""
    found = getattr(errors, str(told.get("code", "")), EngineError)
    kind = found if isinstance(found, type) and issubclass(found, VortexError) else EngineError
    return kind(str(told.get("message", "")), hint=str(told.get("hint", "")))
