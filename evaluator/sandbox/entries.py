"""The functions that are run behind the wall, each on JSON and giving JSON; the warm parent has their imports loaded."""
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evaluator.sandbox.means import ENVIRONMENT
from vortex.compiler.front import load
from vortex.ir import Geometry, Parameter


def load_flow(text: str, path: str, geometry: Mapping[str, int], parameters: Sequence[Mapping[str, Any]]) -> str:
    """Graph JSON of a flow's text. Raises FlowError."""
    known = [Parameter(one["file"], one["key"], tuple(one["shape"]), one["digest"]) for one in parameters]
    return load(text, path, Geometry(**geometry), parameters=known).to_json()


def plain(geometry: Geometry, parameters: Sequence[Parameter]) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """The arguments of `load_flow` as JSON; the numbers of parameters stay here, their digests go."""
    return asdict(geometry), [{"file": one.file, "key": one.key, "shape": list(one.shape), "digest": one.digest}
                              for one in parameters]


def holes(secret: str, outside: str) -> list[str]:
    """What a wall must stop and this one does not: tried, not assumed. `secret` is a file of the caller's and `outside` a folder
    where the caller may write."""
    return [name for name, attempt in _attempts(secret, outside).items() if _succeeds(attempt)]


def _attempts(secret: str, outside: str) -> Mapping[str, Callable[[], object]]:
    return {
        "files of the user can be read": lambda: Path(secret).read_bytes(),
        "files can be written": lambda: Path(outside, f"hole-{os.getpid()}").touch(exist_ok=False),
        "sockets can be made": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close(),
        "processes can be started": _forked,
        "the environment of the first process can be read": _first_environment,
        "settings of the kernel can be changed": lambda: os.close(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY)),
        "signals can be sent": lambda: os.kill(os.getppid(), 0),
    }


def _forked() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _first_environment() -> None:
    found = {one.partition(b"=")[0].decode() for one in Path("/proc/1/environ").read_bytes().split(b"\0")}
    if found <= {*ENVIRONMENT, "PWD", ""}:        # our own, and what bubblewrap adds
        raise FileNotFoundError


def _succeeds(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError:
        return False
    return True
