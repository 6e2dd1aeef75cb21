"""Traces that a worker captures once: kept in the process, and in the user's cache for the processes after it."""
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from tempfile import mkdtemp

from evaluator.traces.capture import Trajectory, capture
from evaluator.traces.prompts import Prompt, Steps
from evaluator.traces.proxies import Figures, Traces, measure
from evaluator.traces.store import Manifest, TraceError, fingerprint, read, versions, write
from vortex.compiler.kernels.modules import cache_folder
from vortex.config import OperatingPoint
from vortex.ir import Graph
from vortex.serving.checkpoint import find_checkpoint
from vortex.serving.engine import Engine

MOST = 4                                  # sets of traces that a process holds


@dataclass
class Kept:
    """One set of traces, and the figures that a control has on it, by point."""

    traces: Traces
    controls: dict[tuple[str, str, bool], list[Figures]] = field(default_factory=dict)

    def control(self, engine: Engine, name: str, graph: Graph, point: OperatingPoint, *, equal: bool) -> list[Figures]:
        key = (name, point.hash, equal)
        if key not in self.controls:
            self.controls[key] = measure(self.traces, engine, graph, point, graph if equal else None)
        return self.controls[key]


_HELD: dict[tuple[str, int], Kept] = {}


def kept(engine: Engine, point: OperatingPoint, prompts: Sequence[Prompt], steps: Steps) -> Kept:
    """Traces of `prompts`: those of this process, else of the cache, else captured now."""
    name = f"{fingerprint(point.model, point.engine, prompts, steps)}-{weights(point)}"
    key = (name, point.block_size)
    if key not in _HELD:
        if len(_HELD) >= MOST:
            _HELD.pop(next(iter(_HELD)))
        _HELD[key] = Kept(Traces(_found(name) or _captured(name, engine, point, prompts, steps), point.block_size))
    return _HELD[key]


def weights(point: OperatingPoint) -> str:
    """8 hex digits of the files of the model, as far as size and time tell them apart; of its name where it is no folder."""
    folder = Path(find_checkpoint(point.model, point.engine).path)
    facts = sorted((one.name, one.stat().st_size, one.stat().st_mtime_ns) for one in folder.glob("*") if one.is_file())
    return blake2b(repr(facts or str(folder)).encode(), digest_size=4).hexdigest()


def _found(name: str) -> list[Trajectory] | None:
    try:
        return read(cache_folder() / "traces" / name)[1]
    except (TraceError, OSError):
        return None


def _captured(name: str, engine: Engine, point: OperatingPoint, prompts: Sequence[Prompt], steps: Steps) -> list[Trajectory]:
    found = list(capture(engine, point, prompts, steps))
    manifest = Manifest(model=point.model, engine=point.engine, tasks={}, seed=0, steps=steps, fingerprint=name,
                        versions=versions())
    try:
        home = cache_folder() / "traces"
        home.mkdir(exist_ok=True)
        part = Path(mkdtemp(dir=home, prefix=f"{name}.{os.getpid()}."))
        for _ in write(part, manifest, found):
            pass
        _into_place(part, home / name)
    except (OSError, TraceError):
        pass                                  # a cache that cannot be written costs time, nothing else
    return found


def _into_place(part: Path, wanted: Path) -> None:
    """Whole or not at all; another worker may have been faster."""
    try:
        part.rename(wanted)
    except OSError:
        shutil.rmtree(part, ignore_errors=True)
