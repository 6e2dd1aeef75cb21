"""The contract of a stage: problems out, rows in, a verdict from rows alone. Each stage is one file under stages/."""
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from evaluator.report import Row, RowsByStage, StageResult
from vortex.config import OperatingPoint
from vortex.ir import Graph
from vortex.serving.engine import Engine


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What a worker is told: an id unique within the stage, what to do, and how often. No answers."""

    id: str
    ask: Mapping[str, Any]
    repeats: int = 1


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What a worker yields for one problem: plain JSON values."""

    problem: str
    repeat: int = 0
    seconds: float = 0.0
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Rival:
    """A measured candidate that others are compared with: controls, and what earlier rounds left on the frontier."""

    id: int
    name: str
    tier: str                             # control, provisional, confirmed
    rows: RowsByStage


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a verdict may look at beside the rows; without a `graph` it is the dense control itself.

    `dense` holds the rows of the dense control for the same stage, `own` the candidate's rows of the stages before, `later`
    the problems that accuracy is measured on in the stages behind, by task (see Stage.sizes). `control`: it is measured to
    its end, whatever its chances.
    """

    point: OperatingPoint
    graph: Graph | None
    dense: Sequence[Row] = ()
    own: RowsByStage = field(default_factory=dict)
    later: Mapping[str, int] = field(default_factory=dict)
    rivals: Sequence[Rival] = ()
    control: bool = False

    @property
    def is_dense(self) -> bool:
        return self.graph is None


class Stage(Protocol):
    """Settings come from the campaign file ([[stage]] table) and are checked when the stage is made.

    A stage travels to the worker: it carries settings, never answers.
    """

    @property
    def name(self) -> str: ...

    @property
    def timeout_s(self) -> float:
        """Wall clock that the whole stage may take on one candidate."""

    def problems(self, point: OperatingPoint) -> Sequence[Problem]:
        """Driver: fixed by settings and point; the order is the order of work. None: the verdict needs no engine."""

    def run(self, engine: Engine, graph: Graph | None, point: OperatingPoint, problems: Sequence[Problem],
            done: Collection[tuple[str, int]]) -> Generator[Answered, None, None]:
        """Worker: yields one Answered per (problem, repeat) that is not in `done`, each as soon as it is known.

        The engine holds the model and already uses `graph` at `point`. What is yielded must not depend on `done`.
        """

    def skip(self, context: Context) -> str:
        """Driver, before it starts: why this candidate need not be put through it; empty: it is."""

    def grade(self, problem: Problem, answered: Answered, point: OperatingPoint) -> Row:
        """Driver: answers never leave it."""

    def result(self, rows: Sequence[Row], context: Context) -> StageResult:
        """Driver, once all rows are there or the rest is hopeless: pure."""

    def hopeless(self, rows: Sequence[Row], context: Context) -> bool:
        """Driver, before the first row and after each: may the rest be spared? Then `result` must not be ok."""

    def sizes(self, point: OperatingPoint) -> Mapping[str, int]:
        """Driver: how many problems accuracy is measured on, by task (statistics.task_of); none where that is not measured."""


class Usual:
    """What most stages do: run for every candidate, to the end."""

    def skip(self, context: Context) -> str:
        """See Stage."""
        return ""

    def hopeless(self, rows: Sequence[Row], context: Context) -> bool:
        """See Stage."""
        return False

    def sizes(self, point: OperatingPoint) -> Mapping[str, int]:
        """See Stage."""
        return {}


StageFactory = Callable[[Mapping[str, Any]], Stage]
