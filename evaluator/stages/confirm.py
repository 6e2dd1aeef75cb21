"""Confirm: the stages that count are run again on problems that no proposer has seen, and the verdict is drawn from these.

Problems come from a secret seed, which the loop hands in; their ids and rows do not tell it, and it does not travel.
"""
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Any, TypeAlias

from pydantic import Field

from evaluator import statistics
from evaluator.report import Row, RowsByStage, StageResult, Status
from evaluator.stage import Answered, Context, Problem, Rival, Stage, Usual
from evaluator.stages.accuracy import AccuracyStage
from evaluator.stages.settings import BELOW_GATE, StageSettings, read_settings
from evaluator.tasks.parts import DIVIDED_FROM
from vortex.config import OperatingPoint
from vortex.errors import CampaignError
from vortex.ir import Graph
from vortex.serving.engine import Engine

NAME = statistics.CONFIRM_STAGE
REPEATED = (*statistics.ACCURACY_STAGES, statistics.SPEED_STAGE)
Asked: TypeAlias = Mapping[str, tuple[Stage, Problem]]


class ConfirmSettings(StageSettings):
    """`samples` problems a task, and `repeats` timings a shape, in each of `stages`: those of the campaign that measure
    accuracy and speed, unless told. A candidate is worth it with a `chance` to be on the frontier. `alpha` is the chance
    that a campaign confirms anything that is no better than what it is compared with; it tries `most` candidates, and
    does so after `every` so many rounds; 0: once, when the search has ended."""

    timeout_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 3600.0
    samples: Annotated[int, Field(ge=2)] = 64
    repeats: Annotated[int, Field(ge=2)] = 20
    stages: tuple[str, ...] = ()
    chance: Annotated[float, Field(ge=0, le=1)] = 0.2
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    most: Annotated[int, Field(ge=1)] = 16
    every: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True)
class Waiting:
    """A candidate that is worth an exam, by the search's own rows."""

    id: int
    chance: float
    speed: float


def in_turn(waiting: Iterable[Waiting], places: int) -> list[Waiting]:
    """The most promising, the fastest of them first: one that comes later is slower, so it passes by its accuracy over all
    that passed before, and who else waits changes little of who passes."""
    best = sorted(waiting, key=lambda one: (-one.chance, one.id))[:max(0, places)]
    return sorted(best, key=lambda one: (-one.speed, one.id))


@dataclass(frozen=True)
class ConfirmStage(Usual):
    """`inner` are the stages that it repeats; without them it is what stands in a campaign file, and asks nothing.

    `name` is the set of problems as well: `confirm`, or `sealed`. `attempt` counts the candidates that the campaign has
    tried to confirm, from 1; 0: nobody is chosen yet. Ids are STAGE/TASK/SET/INDEX, those of timings STAGE/SHAPE.
    """

    settings: ConfirmSettings
    inner: tuple[Stage, ...] = ()
    attempt: int = 0
    name: str = NAME

    @property
    def timeout_s(self) -> float:
        return self.settings.timeout_s

    def problems(self, point: OperatingPoint) -> Sequence[Problem]:
        """See Stage. Raises CampaignError where they are not fresh."""
        for stage in self.inner:
            if isinstance(stage, AccuracyStage):
                check_fresh(stage, point)
        return [replace(problem, id=id) for id, (_, problem) in self._asked(point).items()]

    def run(self, engine: Engine, graph: Graph | None, point: OperatingPoint, problems: Sequence[Problem],
            done: Collection[tuple[str, int]]) -> Generator[Answered, None, None]:
        """See Stage: one inner stage after the other."""
        for stage in self.inner:
            start = f"{stage.name}/"
            own = [replace(one, id=one.id.removeprefix(start)) for one in problems if one.id.startswith(start)]
            known = {(id.removeprefix(start), repeat) for id, repeat in done if id.startswith(start)}
            if own:
                for answered in stage.run(engine, graph, point, own, known):
                    yield replace(answered, problem=start + answered.problem)

    def skip(self, context: Context) -> str:
        """Candidates that the search's own rows give little chance. `rivals` hold these rows too."""
        if context.is_dense or context.control or self.attempt:
            return ""
        chance = self.chance(context.own, context.rivals)
        return f"chance {chance:.2f} to be on the frontier" if chance < self.settings.chance else ""

    def chance(self, own: RowsByStage, rivals: Sequence[Rival]) -> float:
        """That it is on the frontier once it has answered the problems of this stage as well."""
        seen = statistics.scores_by_task(statistics.accuracy_rows(own))
        total = {task: len(scores) + self.settings.samples for task, scores in seen.items()}
        return statistics.chance_on_frontier(own, rivals, total)

    def grade(self, problem: Problem, answered: Answered, point: OperatingPoint) -> Row:
        """See Stage."""
        stage, inner = self._asked(point)[problem.id]
        row = stage.grade(inner, replace(answered, problem=inner.id), point)
        return replace(row, stage=self.name, problem=problem.id)

    def result(self, rows: Sequence[Row], context: Context) -> StageResult:
        """Facts: `confirmed`, and what it rests on. Rivals are the controls, and what was confirmed before: one without rows
        of this stage cannot be beaten. Whoever stays under a gate is not confirmed; controls are held to none."""
        own, dense = statistics.split_confirm(rows), statistics.split_confirm(context.dense)
        below = ""
        for stage in self.inner:
            inner = stage.result(own.get(stage.name, ()), replace(context, dense=dense.get(stage.name, ())))
            if inner.code == BELOW_GATE:
                below = below or inner.message
            elif inner.status is not Status.OK:
                return replace(inner, stage=self.name, facts={})
        metrics = {"accuracy": statistics.accuracy(own), statistics.SPEED_STAGE: statistics.speed(own)}
        facts: dict[str, Any] = {"confirmed": False}
        if not (context.is_dense or context.control):
            facts |= self._verdict(own, context.rivals, below)
        return StageResult(stage=self.name, status=Status.OK, metrics=metrics, facts=facts)

    def _verdict(self, own: RowsByStage, rivals: Sequence[Rival], below: str) -> Mapping[str, Any]:
        measured = [replace(one, rows=statistics.split_confirm(one.rows.get(self.name, ()))) for one in rivals
                    if one.tier != "provisional"]
        found = statistics.confirmation(own, measured, max(1, self.attempt), self.settings.alpha)
        scored = statistics.accuracy(own)
        if scored.low <= 0:
            below = below or f"accuracy {scored.value:.3f} cannot be told from none"
        return {"confirmed": found.confirmed and not below, "p": found.p, "level": found.level, "attempt": self.attempt,
                "against": found.against, "text": f"not confirmed: {below}" if below else found.text}

    def _asked(self, point: OperatingPoint) -> Asked:
        return _asked(self.inner, self.name, point)

    def __reduce__(self) -> tuple[Any, ...]:
        """What travels to a worker has no seed: prompts go beside it."""
        return ConfirmStage, (self.settings, tuple(map(_seedless, self.inner)), self.attempt, self.name)


@lru_cache(maxsize=8)
def _asked(inner: tuple[Stage, ...], name: str, point: OperatingPoint) -> Asked:
    """The inner stage and problem behind each id."""
    return {_id(stage.name, problem.id, name): (stage, problem) for stage in inner for problem in stage.problems(point)}


def _id(stage: str, problem: str, name: str) -> str:
    task, *rest = problem.split("/")
    return "/".join([stage, task, *([name, rest[-1]] if rest else ())])


def check_fresh(stage: AccuracyStage, point: OperatingPoint) -> None:
    """Raises CampaignError where an exam would see again what the search has seen."""
    if told := stage.told_again(point):
        raise CampaignError(f"stage {NAME} cannot repeat {stage.name}: {', '.join(told)} is too small to keep problems from the "
                            "search, and greedy decode gives the same answers to the same problems",
                            hint=f"Give stage {stage.name} a temperature and repeats, take tasks that are generated or have "
                                 f"{DIVIDED_FROM} problems or more, or leave it out: stages = [...] of stage {NAME}.")


def _seedless(stage: Stage) -> Stage:
    return stage.seeded(0) if isinstance(stage, AccuracyStage) else stage


def make(settings: Mapping[str, Any]) -> ConfirmStage:
    """Raises CampaignError."""
    if "seed" in settings:
        raise CampaignError(f"stage {NAME} takes no seed", hint="Its problems come from a seed that nobody chooses or sees.")
    return ConfirmStage(read_settings(NAME, ConfirmSettings, settings))
