"""What the stages that grade generated text share: problems from presets, fixed chunks, a gate, an early stop."""
from collections import Counter
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, TypeAlias
from zlib import crc32

from pydantic import Field

from evaluator import statistics
from evaluator.report import Estimate, Row, StageResult, Status
from evaluator.stage import Answered, Context, Problem
from evaluator.stages.settings import Gate, StageSettings
from evaluator.tasks.registry import preset
from evaluator.tasks.task import Sample
from vortex.config import OperatingPoint
from vortex.errors import CampaignError
from vortex.ir import Graph
from vortex.serving.engine import Completion, Engine, Request, Tokenizer

Tasks: TypeAlias = Annotated[tuple[str, ...], Field(min_length=1)]


class AccuracySettings(StageSettings):
    """`samples` problems of each of `tasks` (names of presets), drawn from `seed`; `gate` is a sentence, see Gate."""

    tasks: Tasks
    samples: Annotated[int, Field(ge=1)] = 16
    seed: int = 20_000
    gate: str = ""
    chunk: Annotated[int, Field(ge=1)] = 32                # problems the engine serves at a time


@dataclass(frozen=True)
class AccuracyStage:
    """Generates greedily, graded in the driver. `name` is the stage, and the metric it yields.

    The engine serves fixed chunks of problems: one that was begun is run again whole and only what is missing is
    yielded, so tokens do not depend on where an earlier run was cut off.
    """

    name: str
    settings: AccuracySettings
    gate: Gate | None

    @property
    def timeout_s(self) -> float:
        return self.settings.timeout_s

    def problems(self, point: OperatingPoint) -> Sequence[Problem]:
        """The tasks take turns, so that a cut-off run has seen a little of each."""
        by_task = [_samples(task, self.settings.seed, self.settings.samples) for task in self.settings.tasks]
        return [Problem(id=sample.id, ask={"prompt": sample.prompt, "max_new_tokens": sample.max_new_tokens})
                for turn in zip(*by_task, strict=True) for sample in turn]

    def run(self, engine: Engine, graph: Graph | None, point: OperatingPoint, problems: Sequence[Problem],
            done: Collection[tuple[str, int]]) -> Generator[Answered, None, None]:
        """See Stage."""
        size = self.settings.chunk
        for chunk in (problems[first:first + size] for first in range(0, len(problems), size)):
            missing = {problem.id for problem in chunk if (problem.id, 0) not in done}
            if missing:
                completions = engine.generate([_request(problem, engine.tokenizer) for problem in chunk])
                yield from (_answered(c, engine.tokenizer) for c in completions if c.id in missing)

    def grade(self, problem: Problem, answered: Answered) -> Row:
        """See Stage."""
        task = problem.id.split("/")[0]
        sample = next(s for s in _samples(task, self.settings.seed, self.settings.samples) if s.id == problem.id)
        grade = preset(task).grade(sample, str(answered.data["text"]))
        return Row(stage=self.name, problem=problem.id, score=grade.score, exact=grade.exact, seconds=answered.seconds,
                   data=answered.data)

    def result(self, rows: Sequence[Row], context: Context) -> StageResult:
        """See Stage."""
        estimate = statistics.mean_of_tasks(rows)
        by_task = {task.split("/")[1]: statistics.mean(s) for task, s in statistics.scores_by_task(rows).items()}
        facts = {"by_task": {task: _plain(e) for task, e in by_task.items()},
                 "exact": sum(row.exact for row in rows) / len(rows)}
        whole = len(rows) == len(self.settings.tasks) * self.settings.samples
        threshold = self._threshold(context)
        status, code, message = Status.OK, "", ""
        if estimate.value < threshold or not whole:
            status, code = (Status.GATE if whole else Status.STOPPED), "below-gate"
            message = (f"{self.name} {estimate.value:.3f} over {len(rows)} problems; "
                       f"the gate {self.gate} asks for {threshold:.3f}")
        return StageResult(stage=self.name, status=status, code=code, message=message, metrics={self.name: estimate},
                           facts=facts)

    def hopeless(self, rows: Sequence[Row], context: Context) -> bool:
        """True when the gate is out of reach even if every problem that is left were solved."""
        threshold = self._threshold(context)
        if threshold <= 0:
            return False
        lost = sum(1 - row.score for row in rows) / (len(self.settings.tasks) * self.settings.samples)
        return 1 - lost < threshold - 1e-9

    def _threshold(self, context: Context) -> float:
        if self.gate is None or context.is_dense:
            return 0.0
        return self.gate.threshold(statistics.mean_of_tasks(context.dense).value if context.dense else None)


def make_accuracy(name: str, settings: AccuracySettings) -> AccuracyStage:
    """Raises CampaignError for a task that does not exist, stands twice, or a gate that cannot be read."""
    for task, times in Counter(settings.tasks).items():
        _samples(task, settings.seed, 1)
        if times > 1:
            raise CampaignError(f"stage {name}: task {task} stands {times} times")
    return AccuracyStage(name, settings, Gate.parse(settings.gate) if settings.gate else None)


@lru_cache(maxsize=64)
def _samples(task: str, seed: int, count: int) -> tuple[Sample, ...]:
    """In the driver alone: a stage that travels carries settings only. Raises CampaignError."""
    return preset(task).samples(seed, count)


def _request(problem: Problem, tokenizer: Tokenizer) -> Request:
    return Request(id=problem.id, tokens=tuple(tokenizer.encode(problem.ask["prompt"])),
                   max_new_tokens=problem.ask["max_new_tokens"], seed=crc32(problem.id.encode()))


def _answered(completion: Completion, tokenizer: Tokenizer) -> Answered:
    data = {"text": tokenizer.decode(completion.tokens), "tokens": len(completion.tokens), "finish": completion.finish,
            "prefill_s": completion.prefill_s, "decode_s": completion.decode_s}
    return Answered(problem=completion.id, seconds=completion.prefill_s + completion.decode_s, data=data)


def _plain(estimate: Estimate) -> Mapping[str, Any]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "count": estimate.count}
