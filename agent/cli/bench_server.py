"""The server that is loaded: one that runs and is given back as it was found, or one that is started for it."""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from vortex.errors import EngineError, VortexError
from vortex.serving.sglang.control import Control
from vortex.serving.sglang.process import error_of
from vortex.serving.sglang.running import find
from vortex.serving.sglang.settings import VARIABLE, Settings, read_settings

PATIENCE_S = 600.0                        # kernels may have to be built
STOP_S = 90.0                             # `vortex serve` lets requests end for a minute


@dataclass(frozen=True, kw_only=True)
class BenchServer:
    """`before` is what it served when it was found, where that is known; `own`: it ends with the bench."""

    url: str
    model: str
    folder: Path
    ranks: int = 1
    own: bool = False
    before: Settings | None = None

    def ask(self, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        """See vortex.serving.sglang.control. Raises EngineError."""
        return Control(self.folder).ask(request, timeout_s=PATIENCE_S)

    def give_back(self, last: str) -> str:
        """Lets it serve again what it served; says so where that is not known."""
        if self.own:
            return ""
        if self.before is None:
            return f"{self.url} decodes densely now; vortex swap {self.url} --flow {last} changes that"
        self.ask({"do": "use", "graph": self.before.graph, "point": self.before.point.model_dump(mode="json")})
        return ""

    @contextmanager
    def given_back_if_broken(self, last: str) -> Iterator[None]:
        """Ctrl-C in the middle, say."""
        try:
            yield
        except BaseException:
            with suppress(VortexError):   # it may be the server that broke
                self.give_back(last)
            raise


def is_address(target: str) -> bool:
    """A URL, host:port or a port, rather than a model."""
    return "://" in target or re.fullmatch(r"([\w.-]+:)?\d+", target) is not None


@contextmanager
def running(url: str) -> Iterator[BenchServer]:
    """One that `vortex serve` started on this machine. Raises EngineError."""
    found = find(url)
    folder = Path(found.folder)
    yield BenchServer(url=found.url, model=found.model, folder=folder, ranks=found.ranks, before=_served(folder))


def _served(folder: Path) -> Settings | None:
    """What it started with, unless it was swapped since."""
    settings = read_settings({VARIABLE: f"@{folder / 'settings.json'}"})
    told = Control(folder).ask({"do": "counters"})[0]
    if settings is None or told["point"] != settings.point.hash:
        return None
    graph = settings.flow()
    return settings if told["flow"] == (graph and graph.name) else None


@contextmanager
def serving(model: str, point: Path | None, changes: Sequence[str]) -> Iterator[BenchServer]:
    """Starts `vortex serve` at a free port, densely; it is gone when this closes, or this process ends. Raises
    VortexError."""
    words = [sys.executable, "-m", "agent.cli.main", "serve", model, "--port", "0", "--owner", str(os.getpid()), "--json"]
    words += ["--point", str(point)] if point else []
    words += [word for change in changes for word in ("--set", change)]
    with tempfile.TemporaryFile("w+") as errors:
        server = subprocess.Popen([*words, "--", "--incremental-streaming-output"], stdout=subprocess.PIPE, stderr=errors,
                                  text=True, start_new_session=True)
        try:
            told = _ready(server, errors)
            yield BenchServer(url=told["url"], model=model, folder=Path(told["folder"]), own=True)
        finally:
            _stop(server)


def _ready(server: "subprocess.Popen[str]", errors: IO[str]) -> Mapping[str, Any]:
    """Its ready line. Raises the VortexError that it ended with."""
    assert server.stdout is not None
    for line in server.stdout:
        told: Mapping[str, Any] = json.loads(line)
        if told.get("event") == "ready":
            return told
    server.wait()
    errors.seek(0)
    raise _refused(errors.read())


def _refused(said: str) -> VortexError:
    lines = [line for line in said.splitlines() if line.strip()]
    for line in reversed(lines):
        try:
            return error_of(json.loads(line))
        except (ValueError, AttributeError):
            continue
    return EngineError(f"the server did not start: {lines[-1] if lines else 'it said nothing'}")


def _stop(server: "subprocess.Popen[str]") -> None:
    server.send_signal(signal.SIGINT)
    try:
        server.wait(STOP_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    if server.stdout is not None:
        server.stdout.close()
