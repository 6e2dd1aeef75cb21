"""Timings on record: a run whose speed rows are replayed from a file is repeatable, row by row."""
import json
import threading
from collections.abc import Collection, Generator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

from evaluator.cluster import Runner
from evaluator.cluster.runner import timed
from evaluator.stage import Answered, Problem, Stage
from evaluator.statistics import SPEED_STAGE
from vortex.config import OperatingPoint
from vortex.ir import Graph

_Key: TypeAlias = tuple[str, str, str, int]


class RecordedTimings:
    """A Runner around another: timings in `path` (JSON lines) are replayed, new ones are taken and appended."""

    def __init__(self, inner: Runner, path: Path) -> None:
        self._inner = inner
        self._path = path
        self._known = _read(path)
        self._lock = threading.Lock()

    @property
    def slots(self) -> int:
        return self._inner.slots

    def stream(self, stage: Stage, graph: Graph | None, point: OperatingPoint, problems: Sequence[Problem],
               done: Collection[tuple[str, int]], timeout_s: float) -> Generator[Answered, None, None]:
        """See Runner. What takes no timings passes through."""
        timings = [one for one in problems if timed(stage, one)]
        rest = [one for one in problems if not timed(stage, one)]
        if rest:
            yield from self._inner.stream(stage, graph, point, rest, done, timeout_s)
        if timings:
            yield from self._timings(stage, graph, point, timings, done, timeout_s)

    def _timings(self, stage: Stage, graph: Graph | None, point: OperatingPoint, problems: Sequence[Problem],
                 done: Collection[tuple[str, int]], timeout_s: float) -> Generator[Answered, None, None]:
        flow = ("dense" if graph is None else graph.hash) + ("" if stage.name == SPEED_STAGE else f" in {stage.name}")
        wanted = [(p.id, repeat) for p in problems for repeat in range(p.repeats)]
        known = {(p, r): self._known[key] for p, r in wanted if (key := (flow, point.hash, p, r)) in self._known}
        yield from (known[key] for key in wanted if key in known and key not in done)
        if known.keys() | set(done) >= set(wanted):
            return
        for answered in self._inner.stream(stage, graph, point, problems, {*done, *known}, timeout_s):
            self._append((flow, point.hash, answered.problem, answered.repeat), answered)
            yield answered

    def _append(self, key: _Key, answered: Answered) -> None:
        self._known[key] = answered
        with self._lock, self._path.open("a") as file:
            file.write(json.dumps({"key": key, "answered": asdict(answered)}) + "\n")


def _read(path: Path) -> dict[_Key, Answered]:
    """What stands in the file; a last line that a kill cut short is dropped."""
    if not path.exists():
        return {}
    whole, _, torn = path.read_text().rpartition("\n")
    if torn:
        path.write_text(whole + "\n" if whole else "")
    bodies = [json.loads(line) for line in whole.splitlines()]
    return {tuple(body["key"]): Answered(**body["answered"]) for body in bodies}
