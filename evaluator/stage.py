"""The contract of a stage: problems out, rows in, a verdict from rows alone. Each stage is one file under stages/."""
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from evaluator.report import Row, StageResult
from vortex.config import OperatingPoint
from vortex.ir import Graph
from vortex.serving.engine import Engine


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What a worker is told: an id unique within the stage, and what to do. No answers."""

    id: str
    ask: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What a worker yields for one problem: plain JSON values."""

    problem: str
    repeat: int = 0
    seconds: float = 0.0
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a verdict may compare with: rows of the dense control and of rivals for the same stage and point."""

    point: OperatingPoint
    graph: Graph | None
    dense: Sequence[Row] = ()


class Stage(Protocol):
    """`settings` come from the campaign file ([[stage]] table), checked by the stage's constructor."""

    name: str
    needs_engine: bool

    def problems(self, point: OperatingPoint) -> Sequence[Problem]:
        """Driver: fixed by settings, seed and point; the order is the order of work."""

    def run(self, engine: Engine | None, graph: Graph | None, point: OperatingPoint, problems: Sequence[Problem],
            done: Collection[tuple[str, int]]) -> Iterator[Answered]:
        """Worker: yields one Answered per (problem, repeat) that is not in `done`, each as soon as it is known."""

    def grade(self, problem: Problem, answered: Answered) -> Row:
        """Driver: answers never leave it."""

    def result(self, rows: Sequence[Row], context: Context) -> StageResult:
        """Driver: pure."""

    def hopeless(self, rows: Sequence[Row], context: Context) -> bool:
        """Driver, after each row: may the rest be spared?"""


StageFactory = Callable[[Mapping[str, Any]], Stage]
