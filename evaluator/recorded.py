"""Timings on record: a run whose speed rows are replayed from a file is repeatable, row by row."""
import json
import os
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
from vortex.errors import CampaignError, Where
from vortex.ir import Graph

BEGINNING = '{"key": ["'
MOST_SHOWN = 80
PLACE = "Change its permissions, or copy it to where you may write and there is room."
_Key: TypeAlias = tuple[str, str, str, int]               # flow, point, problem, repeat


class Timings:
    """A file of timings, one JSON object a line; it need not be there yet. A last line that a kill cut short is taken off.

    Raises CampaignError where this is no such file, or none that can be read and written: that is left as it is.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            _check_place(path)
            self._known = _read(path) if path.exists() else {}
        except OSError as error:
            raise _refused(path, str(error), PLACE) from error

    def get(self, key: _Key) -> Answered | None:
        """What is on record."""
        return self._known.get(key)

    def add(self, key: _Key, answered: Answered) -> None:
        """Written at once. Raises CampaignError."""
        self._known[key] = answered
        try:
            with self._lock, self._path.open("a") as file:
                file.write(json.dumps({"key": key, "answered": asdict(answered)}) + "\n")
        except OSError as error:
            raise _refused(self._path, str(error), PLACE) from error


class RecordedTimings:
    """A Runner around another: `timings` on record are replayed, new ones are taken and added."""

    def __init__(self, inner: Runner, timings: Timings) -> None:
        self._inner = inner
        self._timings = timings

    @property
    def slots(self) -> int:
        return self._inner.slots

    def stream(self, stage: Stage, graph: Graph | None, point: OperatingPoint, problems: Sequence[Problem],
               done: Collection[tuple[str, int]], timeout_s: float) -> Generator[Answered, None, None]:
        """See Runner. What is on record comes behind the other answers, and before timings that are taken."""
        flow = ("dense" if graph is None else graph.hash) + ("" if stage.name == SPEED_STAGE else f" in {stage.name}")
        timings = {problem.id: problem for problem in problems if timed(stage, problem)}
        known = {(id, repeat): one for id, problem in timings.items() for repeat in range(problem.repeats)
                 if (id, repeat) not in done and (one := self._timings.get((flow, point.hash, id, repeat))) is not None}
        waiting, there = iter(known.values()), {*done, *known}
        missing = [one for one in problems if any((one.id, repeat) not in there for repeat in range(one.repeats))]
        for answered in self._inner.stream(stage, graph, point, missing, there, timeout_s) if missing else ():
            if answered.problem in timings:
                yield from waiting
                self._timings.add((flow, point.hash, answered.problem, answered.repeat), answered)
            yield answered
        yield from waiting


def _check_place(path: Path) -> None:
    """Raises CampaignError."""
    if path.is_dir():
        raise _refused(path, "it is a folder", "Name a file in it.")
    if not path.parent.is_dir():
        raise _refused(path, f"there is no folder {path.parent}", "Make the folder first, or name another file.")
    if not os.access(path if path.exists() else path.parent, os.R_OK | os.W_OK):
        raise _refused(path, "it may not be read and written", PLACE)


def _read(path: Path) -> dict[_Key, Answered]:
    """Raises CampaignError before anything is changed."""
    *lines, torn = path.read_bytes().split(b"\n")
    found = dict(_timing(path, number, line) for number, line in enumerate(lines, 1))
    if torn and not (torn.startswith(BEGINNING.encode()) or BEGINNING.encode().startswith(torn)):
        raise _foreign(path, len(lines) + 1, torn)
    if torn:
        os.truncate(path, path.stat().st_size - len(torn))
    return found


def _timing(path: Path, number: int, line: bytes) -> tuple[_Key, Answered]:
    """Raises CampaignError."""
    try:
        body = json.loads(line)
        answered = Answered(**body["answered"])
        flow, point, problem, repeat = body["key"]
        if not (isinstance(flow, str) and isinstance(point, str) and (problem, repeat) == (answered.problem, answered.repeat)):
            raise ValueError("the key is another")
        return (flow, point, str(problem), int(repeat)), answered
    except (ValueError, KeyError, TypeError):
        raise _foreign(path, number, line) from None


def _foreign(path: Path, number: int, line: bytes) -> CampaignError:
    shown = line.decode(errors="replace")[:MOST_SHOWN]
    return _refused(path, f"line {number} is no timing", "It must be a file that --timings wrote, or one that is not there yet.",
                    Where(path=str(path), line=number, text=shown))


def _refused(path: Path, why: str, hint: str, where: Where | None = None) -> CampaignError:
    return CampaignError(f"timings cannot be kept in {path}: {why}", hint=hint, where=where or Where(path=str(path)))
