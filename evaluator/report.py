"""Rows, and what follows from them: a StageResult is a pure function of rows, a Report of StageResults."""
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias


class Status(StrEnum):
    """How a stage ended. `gate` and `stopped` are the search's judgement; `infrastructure` is never the candidate's."""

    OK = "ok"
    REJECTED = "rejected"
    DUPLICATE = "duplicate"
    COMPILE = "compile"
    NUMERICS = "numerics"
    GATE = "gate"
    STOPPED = "stopped"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    CRASH = "crash"
    HACK = "hack"
    INFRASTRUCTURE = "infrastructure"


# What ended so was never measured to an end: a figure beside it would be read as one.
UNMEASURED = (Status.REJECTED, Status.DUPLICATE, Status.COMPILE, Status.TIMEOUT, Status.MEMORY, Status.CRASH,
              Status.INFRASTRUCTURE)

_SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One problem, judged. `score` in [0, 1] for accuracy stages (partial credit), a ratio or a count elsewhere.

    `data` is what the worker saw (small, JSON): tokens, timings, counters; `grade` what the driver made of it.
    """

    stage: str
    problem: str
    repeat: int = 0
    score: float
    exact: float = 0.0
    seconds: float = 0.0
    data: Mapping[str, Any] = field(default_factory=dict)


RowsByStage: TypeAlias = Mapping[str, Sequence[Row]]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure with its 95 % interval and the number of rows (or repeats) behind it."""

    value: float
    low: float
    high: float
    count: int

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """`metrics` by name (accuracy, speed, ...); `facts` are plain values worth a column (bytes a step, hash ...)."""

    stage: str
    status: Status
    code: str = ""                        # what exactly, machine-readable: "below-gate", "ShapeMismatch", ...
    message: str = ""                     # for people and proposers
    metrics: Mapping[str, Estimate] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def skipped(self) -> bool:
        """Whether the stage was left out: nothing was measured, and nothing is held against the candidate."""
        return bool(self.facts.get(_SKIPPED))

    def __post_init__(self) -> None:
        if self.skipped and (self.status is not Status.OK or self.metrics):
            raise ValueError(f"stage {self.stage} was skipped, and yet ended {self.status}, figures: {list(self.metrics)}")
        if self.skipped and not self.message:
            raise ValueError(f"stage {self.stage} was skipped and does not say why")
        if self.status is not Status.OK and not self.code:
            raise ValueError(f"stage {self.stage} ended {self.status} and does not say why")
        if self.status is Status.OK and self.code:
            raise ValueError(f"stage {self.stage} ended ok, and yet with the code {self.code}")
        if self.status in UNMEASURED and self.metrics:
            raise ValueError(f"stage {self.stage} ended {self.status}, and yet has figures: {', '.join(self.metrics)}")
        for name, figure in self.metrics.items():
            _check(f"stage {self.stage}: {name}", figure)


def skipped(stage: str, reason: str) -> StageResult:
    """Of a stage that a candidate need not, or cannot, be put through: it goes on, and its Report says so."""
    return StageResult(stage=stage, status=Status.OK, message=reason, facts={_SKIPPED: True})


@dataclass(frozen=True, kw_only=True)
class Report:
    """All StageResults of a candidate, in the order of the funnel. Refuses to contradict itself."""

    results: tuple[StageResult, ...]

    def __post_init__(self) -> None:
        names = [r.stage for r in self.results]
        if len(set(names)) != len(names):
            raise ValueError(f"a stage is reported twice: {names}")
        if any(r.status is not Status.OK for r in self.results[:-1]):
            raise ValueError("a stage was run after one that did not end ok")

    @property
    def status(self) -> Status:
        return self.results[-1].status if self.results else Status.INFRASTRUCTURE

    def result(self, stage: str) -> StageResult | None:
        return next((r for r in self.results if r.stage == stage), None)

    def metric(self, name: str) -> Estimate | None:
        """The figure of the last stage that has one of this name."""
        found: Sequence[Estimate] = [r.metrics[name] for r in self.results if name in r.metrics]
        return found[-1] if found else None


def _check(what: str, figure: Estimate) -> None:
    if not all(map(math.isfinite, (figure.value, figure.low, figure.high))):
        raise ValueError(f"{what} is no number: {figure}")
    slack = 1e-9 * max(1.0, abs(figure.value))            # of float arithmetic
    if not figure.low - slack <= figure.value <= figure.high + slack:
        raise ValueError(f"{what} lies outside of its interval: {figure}")
