"""One server of SGLang's and every process that it starts, from the outside: nothing here imports SGLang."""
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

from vortex.errors import EngineError, VortexError
from vortex.serving.sglang.failures import explain
from vortex.serving.sglang.process import OF_OTHERS, new_folder
from vortex.serving.sglang.running import LOG, ROOM, url_of
from vortex.serving.sglang.settings import Settings
from vortex.serving.sglang.shared import forget, members, shared_by

OURS = {"--model-path": "MODEL", "--model": "MODEL", "--host": "--host", "--port": "--port", "--tp": "--tp", "--tp-size": "--tp",
        "--tensor-parallel-size": "--tp", "--served-model-name": "--served-model-name", "--attention-backend": "--flow",
        "--decode-attention-backend": "--flow", "--prefill-attention-backend": "--flow"}
DP = ("--dp-size", "--dp", "--data-parallel-size")
POLL_S = 0.2
GONE_S = 5.0                          # what killed processes may take to be gone
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))      # no proxy leads to this machine
DRAIN_S = 60.0                        # how long requests in flight may take once the server is asked to end


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What is started. `path` is the checkpoint's folder or id, `more` are arguments for SGLang as they are."""

    python: str
    path: str
    settings: Settings
    host: str = "127.0.0.1"
    port: int = 30000
    name: str = ""                    # under which clients ask for the model
    tp: int = 1
    more: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises EngineError for an argument that an option of ours says."""
        for word in self.more:
            option = OURS.get(word.partition("=")[0])
            if option is not None:
                raise EngineError(f"{word.partition('=')[0]} is said by {option} of vortex serve",
                                  hint="After -- stand further arguments of SGLang's server.")

    def arguments(self) -> list[str]:
        """For SGLang's server."""
        point = self.settings.point
        told = ["--model-path", self.path, "--host", self.host, "--port", str(self.port), "--attention-backend", "vortex",
                "--tp-size", str(self.tp), "--enable-metrics"]
        told += ["--served-model-name", self.name] if self.name else []
        told += [] if _said(("--page-size",), self.more) else ["--page-size", str(point.page_size or point.block_size)]
        return [*told, *self.more]


class Server:
    """A context manager: what was started is gone when it closes. `folder` keeps the log, `room` settings, control address and
    temporary files, and goes."""

    def __init__(self, launch: Launch, folder: Path) -> None:
        self._launch = launch
        self._folder = folder
        self.room = new_folder()
        (folder / ROOM).write_text(str(self.room))
        self._process: subprocess.Popen[bytes] | None = None
        self._read = 0                # bytes of the log that were told
        self._shared: set[Path] = set()

    def __enter__(self) -> Self:
        """Begins to start it. Raises EngineError."""
        launch = self._launch
        words = [launch.python, "-P", "-m", "vortex.serving.sglang.launch", *launch.arguments()]
        told = {name: value for name, value in os.environ.items() if name not in OF_OTHERS}
        environment = {**told, **launch.settings.put(self.room), "TMPDIR": str(self.room)}
        try:
            with self.log.open("wb") as log:
                self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT,
                                                 env=environment, start_new_session=True)
        except OSError as error:
            shutil.rmtree(self.room)
            raise EngineError(f"cannot run {launch.python}: {error.strerror}") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()
        shutil.rmtree(self.room, ignore_errors=True)

    @property
    def log(self) -> Path:
        return self._folder / LOG

    @property
    def pid(self) -> int:
        return self._running().pid

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._running().poll()

    def ready(self) -> bool:
        """Does it answer, its first request done?"""
        try:
            with DIRECT.open(f"{url_of(self._launch.host, self._launch.port)}/health", timeout=30) as answer:
                self._note_shared()
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def explained(self) -> VortexError:
        """Why it ended, by its log, and where that is."""
        error = explain(self.log.read_text(errors="replace"))
        error.hint = "\n".join(filter(None, (error.hint, f"Its log: {self.log}")))
        return error

    def new_log(self) -> str:
        """What was logged since this was last asked."""
        with self.log.open("rb") as log:
            log.seek(self._read)
            new = log.read()
        self._read += len(new)
        return new.decode(errors="replace")

    def stop(self, wait: Callable[[], None] = lambda: time.sleep(POLL_S)) -> None:
        """Lets requests in flight end, for DRAIN_S at most; `wait` passes the time."""
        self._note_shared()
        self._signal(signal.SIGTERM, group=False)
        until = time.monotonic() + DRAIN_S
        while self.exit_code() is None and time.monotonic() < until:
            wait()
        self.kill()

    def kill(self) -> None:
        """Ends all of its processes at once, and what they share in memory."""
        self._note_shared()
        self._signal(signal.SIGKILL, group=True)
        process = self._running()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()
        until = time.monotonic() + GONE_S
        while _group_lives(process.pid) and time.monotonic() < until:
            time.sleep(POLL_S / 4)
        forget(self._shared)

    def _note_shared(self) -> None:
        """While there is somebody to ask: what a killed process leaves cannot be found any more."""
        self._shared |= shared_by(members(self.pid))

    def _signal(self, number: signal.Signals, *, group: bool) -> None:
        process = self._running()
        try:
            if group:
                os.killpg(process.pid, number)      # its children stay in the group when it is gone
            else:
                process.send_signal(number)
        except ProcessLookupError:
            pass

    def _running(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "the server was not started"
        return self._process


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def attention_ranks(tp: int, more: Sequence[str]) -> int:
    """Those that share a layer's heads out: of `tp`, less where attention is data parallel. Raises EngineError."""
    replicas = _said(DP, more) if "--enable-dp-attention" in more else ""
    dp = int(replicas) if replicas.isdecimal() else 1
    if not dp or tp % dp:
        raise EngineError(f"{tp} ranks are not shared evenly by {dp} replicas", hint="--tp is a multiple of --dp-size.")
    return tp // dp


def _said(names: Collection[str], words: Sequence[str]) -> str:
    """The last value of an argument that has these names; "" without one."""
    said = [word.partition("=")[2] or after for word, after in pairwise([*words, ""]) if word.partition("=")[0] in names]
    return said[-1] if said else ""


def free_port(host: str, port: int) -> int:
    """`port` where it can be listened at, one that is free for 0. Raises EngineError."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise EngineError(f"{host} is no address of this machine: {error.strerror}", hint="--host 127.0.0.1") from error
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(1)
        except OSError as error:
            raise EngineError(f"cannot listen at {host}:{port}: {(error.strerror or str(error)).lower()}",
                              hint="--port takes another port, --port 0 one that is free.") from error
        return int(listener.getsockname()[1])
