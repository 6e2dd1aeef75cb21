"""The servers that this user runs on this machine: a folder each, by port, that holds its record and its log.

Whoever serves holds a lock in the folder; the kernel lets it go however that process ends, so that stale folders show.
"""
import fcntl
import json
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from vortex.compiler.kernels.modules import cache_folder
from vortex.errors import EngineError
from vortex.serving.sglang.process import PREFIX

LOCK, RECORD, LOG, ROOM = "lock", "server.json", "server.log", "room"
TRIES, TRY_S = 5, 0.05                # a look at who runs holds the lock for a moment


@dataclass(frozen=True, kw_only=True)
class Running:
    """`model` is as the user named it; `ranks` share a layer's heads out; `pid` leads the server's processes; `folder` has its
    settings and control address."""

    host: str
    port: int
    model: str
    ranks: int
    pid: int
    folder: str
    log: str

    @property
    def url(self) -> str:
        return url_of(self.host, self.port)


def url_of(host: str, port: int) -> str:
    """Where a client on this machine asks."""
    near = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"http://[{near}]:{port}" if ":" in near else f"http://{near}:{port}"


def servers_folder() -> Path:
    """$VORTEX_CACHE/servers, else that of the user's cache; by host, since homes are shared between machines."""
    folder = cache_folder() / "servers" / socket.gethostname()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


@contextmanager
def own_folder(port: int) -> Iterator[Path]:
    """The empty folder of the server at this port, kept from others while it is open. Raises EngineError."""
    folder = servers_folder() / str(port)
    folder.mkdir(exist_ok=True, mode=0o700)
    with (folder / LOCK).open("a") as lock:
        if not any(_taken(lock.fileno(), after_s) for after_s in (0.0, *[TRY_S] * TRIES)):
            raise EngineError(f"a server of yours starts or runs at port {port}",
                              hint="vortex serve --list tells which run; --port takes another.")
        _empty(folder)
        try:
            yield folder
        finally:
            (folder / RECORD).unlink(missing_ok=True)


def register(running: Running, folder: Path) -> None:
    """Lets `find` know that it answers; `folder` is its own."""
    path = folder / RECORD
    new = path.with_suffix(".new")
    new.write_text(json.dumps(asdict(running)))
    new.replace(path)


def running() -> list[Running]:
    """Those that answer, by port."""
    folders = sorted(servers_folder().iterdir(), key=lambda folder: folder.name.zfill(5))
    return [found for folder in folders if (found := _read(folder)) is not None]


def find(url: str) -> Running:
    """The server at a URL, `host:port` or a port. Raises EngineError."""
    port = port_of(url)
    found = _read(servers_folder() / str(port))
    if found is None:
        others = ", ".join(one.url for one in running())
        raise EngineError(f"no server that `vortex serve` started runs at port {port} of this machine",
                          hint=f"Running: {others}." if others else "Start one: vortex serve MODEL --flow quest")
    return found


def port_of(url: str) -> int:
    """Raises EngineError."""
    try:
        port = int(url) if url.isdecimal() else urlsplit(url if "//" in url else f"//{url}").port
    except ValueError:
        port = None
    if port is None or not 0 < port < 65536:
        raise EngineError(f"{url} names no port", hint="A server is named like http://127.0.0.1:30000")
    return port


def _read(folder: Path) -> Running | None:
    """None where nothing runs there any more."""
    try:
        with (folder / LOCK).open() as lock:
            if _taken(lock.fileno()):
                return None
        return Running(**json.loads((folder / RECORD).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _taken(descriptor: int, after_s: float = 0.0) -> bool:
    """Whether the lock is ours now; it goes with the descriptor."""
    time.sleep(after_s)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _empty(folder: Path) -> None:
    """Of what a server left that was killed."""
    room = folder / ROOM
    if room.is_file() and Path(left := room.read_text()).name.startswith(PREFIX):
        shutil.rmtree(left, ignore_errors=True)
    for entry in folder.iterdir():
        if entry.name != LOCK:
            entry.unlink()
