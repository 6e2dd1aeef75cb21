"""Audit: what an engine selects while it answers the real tasks' questions under load, against the reference.

Numerics knows its prompts; these nobody does: they come from a secret seed, and the steps that are looked at lie anywhere
in what the flow itself said. A batch answers unwatched first, as it does when it is scored; then each request is taken up
at a token of its own answer, and a few decode steps are recorded.
"""
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import zip_longest
from random import Random
from typing import Annotated, Any

from pydantic import Field

from evaluator.report import Row, StageResult, Status
from evaluator.stage import Answered, Context, Problem, Usual
from evaluator.stages import agreement
from evaluator.stages.accuracy import Tasks
from evaluator.stages.settings import StageSettings, read_settings
from evaluator.tasks.door import find_task
from evaluator.tasks.parts import RANGE
from evaluator.tasks.reader import Reader
from evaluator.tasks.registry import RETRIEVAL_PRESETS
from evaluator.tasks.task import Sample
from vortex.config import OperatingPoint
from vortex.ir import Graph
from vortex.serving.engine import Completion, Engine, Request

NAME = "audit"
_ENDS = {"": Status.OK, "rests-on-rounding": Status.NUMERICS}          # which proves nothing


class AuditSettings(StageSettings):
    """`samples` prompts of each of `tasks`, served `batch` at a time. Of each the `steps` decode steps after a token drawn
    from the first `said` of its answer are recorded: K and V of the batch, copied once a step and layer."""

    tasks: Tasks = RETRIEVAL_PRESETS
    samples: Annotated[int, Field(ge=1)] = 2
    batch: Annotated[int, Field(ge=2)] = 4
    said: Annotated[int, Field(ge=1)] = 24
    steps: Annotated[int, Field(ge=1)] = 1
    tolerance: Annotated[float, Field(ge=0)] = 1e-4
    thinking: bool | None = None
    seed: Annotated[int, Field(ge=0, lt=RANGE)] = 60_000


@dataclass(frozen=True)
class AuditStage(Usual):
    """One problem a prompt, TASK/audit/INDEX; its score is the share of selections that the reference confirms."""

    settings: AuditSettings
    name: str = NAME

    @property
    def timeout_s(self) -> float:
        return self.settings.timeout_s

    def seeded(self, secret: int) -> "AuditStage":
        """The same on the prompts of a seed that no proposer sees."""
        return replace(self, settings=self.settings.model_copy(update={"seed": secret}))

    def problems(self, point: OperatingPoint) -> Sequence[Problem]:
        """The tasks take turns, so that each batch has some of each; where an answer is taken up is drawn here."""
        own, reader = self.settings, Reader.of(point, self.settings.thinking)
        by_task = [[(find_task(task).name, sample) for sample in _samples(task, own.seed, own.samples, reader)]
                   for task in own.tasks]
        drawn = [one for turn in zip_longest(*by_task) for one in turn if one is not None]
        steps = max(own.steps, point.renew_every + 1 if point.renew_every > 1 else 1)
        return [Problem(id=f"{task}/{NAME}/{index // len(by_task)}", ask=self._ask(index, sample, steps))
                for index, (task, sample) in enumerate(drawn)]

    def _ask(self, index: int, sample: Sample, steps: int) -> Mapping[str, Any]:
        said = min(self.settings.said, sample.max_new_tokens)
        return {"prompt": sample.prompt, "said": said, "at": Random(f"{self.settings.seed} {index}").randint(0, said - 1),
                "steps": steps}

    def skip(self, context: Context) -> str:
        """See Stage."""
        return agreement.nothing_to_compare(context)

    def run(self, engine: Engine, graph: Graph | None, point: OperatingPoint, problems: Sequence[Problem],
            done: Collection[tuple[str, int]]) -> Generator[Answered, None, None]:
        """A batch is served whole, whatever of it is done."""
        if graph is None:
            return
        from evaluator.stages.compare import compared  # on the worker: it needs torch

        size = self.settings.batch
        for batch in (problems[first:first + size] for first in range(0, len(problems), size)):
            if all((problem.id, 0) in done for problem in batch):
                continue
            taken_up = _taken_up(engine, batch)
            for answered in compared(engine, graph, point, taken_up, self.settings.tolerance):
                if (answered.problem, 0) not in done:
                    yield answered

    def grade(self, problem: Problem, answered: Answered, point: OperatingPoint) -> Row:
        """See Stage."""
        share = agreement.share(answered.data)
        return Row(stage=NAME, problem=problem.id, score=share, exact=float(share == 1), seconds=answered.seconds,
                   data=answered.data)

    def hopeless(self, rows: Sequence[Row], context: Context) -> bool:
        """One disagreement is one too many."""
        return any(row.score < 1 for row in rows)

    def result(self, rows: Sequence[Row], context: Context) -> StageResult:
        """See Stage. A row that fits its budget is dense, and agrees."""
        code, message = agreement.fault(rows)
        told = f"of real requests, while numerics found none on its own: {message}" if code else ""
        return StageResult(stage=NAME, status=_ENDS.get(code, Status.HACK), code=code, message=told, facts=agreement.counts(rows))

    def __reduce__(self) -> tuple[Any, ...]:
        """What travels to a worker has no seed: prompts go beside it."""
        return AuditStage, (self.settings.model_copy(update={"seed": 0}), self.name)


def _taken_up(engine: Engine, batch: Sequence[Problem]) -> list[Request]:
    """The requests of the batch, each as far as it came when it was cut off at its own token."""
    asked = [Request(id=problem.id, tokens=tuple(engine.tokenizer.encode(problem.ask["prompt"])), seed=seed,
                     max_new_tokens=problem.ask["said"]) for seed, problem in enumerate(batch)]
    said: dict[str, Completion] = {completion.id: completion for completion in engine.generate(asked)}
    return [replace(request, tokens=request.tokens + said[request.id].tokens[:problem.ask["at"]],
                    max_new_tokens=problem.ask["steps"] + 1, ignore_eos=True)
            for request, problem in zip(asked, batch, strict=True)]


@lru_cache(maxsize=16)
def _samples(task: str, seed: int, count: int, reader: Reader) -> tuple[Sample, ...]:
    """In the driver alone. Raises CampaignError."""
    return tuple(find_task(task).samples(seed, count, reader))


def make(settings: Mapping[str, Any]) -> AuditStage:
    """Raises CampaignError."""
    made = AuditStage(read_settings(NAME, AuditSettings, settings))
    for task in made.settings.tasks:
        find_task(task)
    return made
