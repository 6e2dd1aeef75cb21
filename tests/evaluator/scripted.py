"""A stage whose every move is written down in its problems, and an engine for it: to try the funnel and the cluster."""
import errno
import os
import re
import signal
import subprocess
import time
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluator import statistics
from evaluator.report import Row, StageResult, Status
from evaluator.stage import Answered, Context, Problem, Usual
from vortex.config import OperatingPoint
from vortex.errors import EngineError
from vortex.ir import SELECTION, Geometry, Graph, Node
from vortex.serving.engine import Completion, Recorded, Recording, Request, StepTimes, Tokenizer

POINT = OperatingPoint()


def graph(name: str = "recent") -> Graph:
    """A Graph whose meaning is its name."""
    node = Node("recent", (), (("name_of_test", name),), SELECTION)
    return Graph(name, Geometry(), (), (), (), (node,), (), 0)


class ScriptedEngine:
    """Serves nothing; counts how often it was started and used. A Graph called `misfit` it refuses."""

    def __init__(self) -> None:
        self.started = self.used = 0

    def start(self, model: str) -> None:
        self.started += 1

    @property
    def tokenizer(self) -> Tokenizer:
        raise NotImplementedError

    def geometry(self, block_size: int) -> Geometry:
        return Geometry(block_size=block_size)

    def use(self, graph: Graph | None, point: OperatingPoint) -> None:
        if graph is not None and graph.name == "misfit":
            raise EngineError("this flow does not fit this engine")
        self.used += 1

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        raise NotImplementedError

    def forced_decode(self, batch: int, context: int, steps: int, *, seed: int = 0) -> StepTimes:
        raise NotImplementedError

    def record(self, what: Recorded) -> AbstractContextManager[Recording]:
        raise NotImplementedError

    def stop(self) -> None: ...


def make_scripted(name: str) -> ScriptedEngine:
    return ScriptedEngine()


@dataclass(frozen=True)
class Script(Usual):
    """Each entry is what one problem does: a number is its score; a word is something that goes wrong."""

    moves: tuple[float | str, ...]
    name: str = "retrieval"
    gate: float = 0.0
    timeout_s: float = 60.0
    log: list[str] = field(default_factory=list)               # of runs in this process
    pace_s: float = 0.0

    def problems(self, point: OperatingPoint) -> Sequence[Problem]:
        return [Problem(id=f"task/{i}", ask={"move": move}) for i, move in enumerate(self.moves)]

    def run(self, engine: Any, graph: Graph | None, point: OperatingPoint, problems: Sequence[Problem],
            done: Collection[tuple[str, int]]) -> Generator[Answered, None, None]:
        for problem in problems:
            if (problem.id, 0) in done:
                continue
            move = problem.ask["move"]
            self.log.append(problem.id)
            time.sleep(self.pace_s)
            if isinstance(move, str):
                misbehave(move)
            score = 1.0 if isinstance(move, str) else move
            yield Answered(problem=problem.id, data={"score": score, "pid": os.getpid(), "started": engine.started,
                                 "code": statistics.__file__})

    def grade(self, problem: Problem, answered: Answered, point: OperatingPoint) -> Row:
        return Row(stage=self.name, problem=problem.id, score=answered.data["score"], data=answered.data)

    def hopeless(self, rows: Sequence[Row], context: Context) -> bool:
        return 1 - sum(1 - row.score for row in rows) / len(self.moves) < self.gate

    def result(self, rows: Sequence[Row], context: Context) -> StageResult:
        estimate = statistics.mean_of_tasks(rows)
        status = Status.OK
        if estimate.value < self.gate:
            status = Status.GATE if len(rows) == len(self.moves) else Status.STOPPED
        return StageResult(stage=self.name, status=status, code="below-gate" if status is not Status.OK else "",
                           metrics={self.name: estimate})


def misbehave(how: str) -> None:
    """What a candidate may do to its worker."""
    if how == "raise":
        raise ZeroDivisionError("the flow divides by zero")
    if how == "hang":
        re.match("(a+)+$", "a" * 60 + "b")                 # for ever, and without letting any other thread run
    if how == "eat":
        eaten = []
        while True:
            eaten.append(b"x" * (16 << 20))
    if how == "eat all":
        raise MemoryError
    if how == "die":
        os.abort()
    if how == "be killed":                                 # as by a machine that runs out of memory
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "be stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
    if how == "fill the disk":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if how.startswith("fill once "):
        mark, disk = (Path(word) for word in how.removeprefix("fill once ").split())
        if not mark.exists():
            mark.touch()
            with Path(disk / mark.name).open("wb") as file:
                file.write(b"x" * (2 << 20))
    if how == "start one that eats":                       # as a server does, in a session of its own
        code = "eaten = b'x' * (512 << 20); import time; time.sleep(600)"
        subprocess.Popen(["setsid", "--fork", "python3", "-S", "-c", code])
        time.sleep(600)
    if how.startswith("die once "):
        mark = Path(how.removeprefix("die once "))
        if not mark.exists():
            mark.touch()
            os.abort()
