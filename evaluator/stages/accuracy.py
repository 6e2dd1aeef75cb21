"""What the stages that grade generated text share: problems from presets, fixed chunks, a gate, an early stop."""
from collections import Counter
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from typing import Annotated, Any, TypeAlias
from zlib import crc32

from pydantic import Field

from evaluator import statistics
from evaluator.report import Estimate, Row, StageResult, Status
from evaluator.stage import Answered, Context, Problem, Usual
from evaluator.stages.settings import Gate, StageSettings
from evaluator.tasks.door import find_task
from evaluator.tasks.reader import Reader
from evaluator.tasks.task import Sample
from vortex.config import OperatingPoint
from vortex.errors import CampaignError
from vortex.ir import Graph
from vortex.serving.engine import Completion, Engine, Request, Tokenizer

Tasks: TypeAlias = Annotated[tuple[str, ...], Field(min_length=1)]


class AccuracySettings(StageSettings):
    """`samples` problems of each of `tasks` (see evaluator/tasks/door.py), drawn from `seed`; `gate` is a sentence, see Gate.

    Each problem is asked `repeats` times. `thinking` is asked of models that have the two modes.
    """

    tasks: Tasks
    samples: Annotated[int, Field(ge=1)] = 16
    seed: int = 20_000
    repeats: Annotated[int, Field(ge=1)] = 1
    temperature: Annotated[float, Field(ge=0)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    max_new_tokens: Annotated[int | None, Field(ge=1)] = None          # in place of the task's own
    thinking: bool | None = None
    gate: str = ""
    chunk: Annotated[int, Field(ge=1)] = 32                # problems the engine serves at a time


@dataclass(frozen=True)
class AccuracyStage(Usual):
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
        by_task = [self._samples(task, point) for task in self.settings.tasks]
        return [Problem(id=sample.id, ask=self._ask(sample), repeats=self.settings.repeats)
                for turn in zip_longest(*by_task) for sample in turn if sample is not None]

    def _samples(self, task: str, point: OperatingPoint) -> Sequence[Sample]:
        return _samples(task, self.settings.seed, self.settings.samples, Reader.of(point, self.settings.thinking))

    def _ask(self, sample: Sample) -> Mapping[str, Any]:
        own = self.settings
        drawn = {name: value for name in ("temperature", "top_p", "top_k")
                 if (value := getattr(own, name)) != type(own).model_fields[name].default}
        return {"prompt": sample.prompt, "max_new_tokens": own.max_new_tokens or sample.max_new_tokens, **drawn}

    def run(self, engine: Engine, graph: Graph | None, point: OperatingPoint, problems: Sequence[Problem],
            done: Collection[tuple[str, int]]) -> Generator[Answered, None, None]:
        """See Stage."""
        size = self.settings.chunk
        for chunk in (problems[first:first + size] for first in range(0, len(problems), size)):
            asked = {_key(problem, repeat): (problem, repeat) for problem in chunk for repeat in range(problem.repeats)}
            missing = {key for key, (problem, repeat) in asked.items() if (problem.id, repeat) not in done}
            if missing:
                completions = engine.generate([_request(key, problem, engine.tokenizer) for key, (problem, _) in asked.items()])
                yield from (_answered(c, asked[c.id], engine.tokenizer) for c in completions if c.id in missing)

    def grade(self, problem: Problem, answered: Answered, point: OperatingPoint) -> Row:
        """See Stage."""
        task = problem.id.split("/")[0]
        sample = next(s for s in self._samples(task, point) if s.id == problem.id)
        grade = find_task(task).grade(sample, str(answered.data["text"]))
        return Row(stage=self.name, problem=problem.id, repeat=answered.repeat, score=grade.score, exact=grade.exact,
                   seconds=answered.seconds, data=answered.data)

    def result(self, rows: Sequence[Row], context: Context) -> StageResult:
        """See Stage."""
        estimate = statistics.mean_of_tasks(rows)
        by_task = {task.split("/")[1]: statistics.mean(s) for task, s in statistics.scores_by_task(rows).items()}
        facts = {"by_task": {task: _plain(e) for task, e in by_task.items()},
                 "exact": sum(row.exact for row in rows) / len(rows)}
        whole = len(rows) == self._total(context.point)
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
        lost = sum(1 - row.score for row in rows) / self._total(context.point)
        return 1 - lost < threshold - 1e-9

    def _total(self, point: OperatingPoint) -> int:
        return sum(problem.repeats for problem in self.problems(point))

    def _threshold(self, context: Context) -> float:
        if self.gate is None or context.is_dense:
            return 0.0
        return self.gate.threshold(statistics.mean_of_tasks(context.dense).value if context.dense else None)


def make_accuracy(name: str, settings: AccuracySettings) -> AccuracyStage:
    """Raises CampaignError for a task that does not exist, stands twice, or a gate that cannot be read."""
    for task, times in Counter(settings.tasks).items():
        find_task(task)
        if times > 1:
            raise CampaignError(f"stage {name}: task {task} stands {times} times")
    return AccuracyStage(name, settings, Gate.parse(settings.gate) if settings.gate else None)


@lru_cache(maxsize=64)
def _samples(task: str, seed: int, count: int, reader: Reader) -> tuple[Sample, ...]:
    """In the driver alone: a stage that travels carries settings only. Raises CampaignError."""
    return tuple(find_task(task).samples(seed, count, reader))


def _key(problem: Problem, repeat: int) -> str:
    return f"{problem.id}#{repeat}" if repeat else problem.id


def _request(key: str, problem: Problem, tokenizer: Tokenizer) -> Request:
    drawn = {name: value for name, value in problem.ask.items() if name != "prompt"}
    return Request(id=key, tokens=tuple(tokenizer.encode(problem.ask["prompt"])), seed=crc32(key.encode()), **drawn)


def _answered(completion: Completion, asked: tuple[Problem, int], tokenizer: Tokenizer) -> Answered:
    data = {"text": tokenizer.decode(completion.tokens), "tokens": len(completion.tokens), "finish": completion.finish,
            "prefill_s": completion.prefill_s, "decode_s": completion.decode_s}
    problem, repeat = asked
    return Answered(problem=problem.id, repeat=repeat, seconds=completion.prefill_s + completion.decode_s, data=data)


def _plain(estimate: Estimate) -> Mapping[str, Any]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "count": estimate.count}
