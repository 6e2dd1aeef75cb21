"""What the stages that grade generated text share: problems from tasks, a gate, a race, figures beside accuracy."""
from collections import Counter, defaultdict
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from itertools import zip_longest
from typing import Annotated, Any, TypeAlias

from pydantic import Field, ValidationInfo, field_validator

from evaluator import guard, metrics, statistics
from evaluator.report import Estimate, Row, StageResult, Status
from evaluator.stage import Answered, Context, Problem, Usual
from evaluator.stages.serving import served
from evaluator.stages.settings import BELOW_GATE, Gate, StageSettings
from evaluator.tasks.door import find_task, same_problems
from evaluator.tasks.fixed import FixedSet
from evaluator.tasks.parts import RANGE, WHOLE
from evaluator.tasks.reader import Reader
from evaluator.tasks.task import Grade, Sample
from vortex.config import OperatingPoint
from vortex.errors import CampaignError
from vortex.ir import Graph
from vortex.serving.engine import Engine

Tasks: TypeAlias = Annotated[tuple[str, ...], Field(min_length=1)]
Count: TypeAlias = Annotated[int, Field(ge=1)]
_GREEDY = {"temperature": 0.0, "top_p": 1.0, "top_k": 0}


class AccuracySettings(StageSettings):
    """`samples` problems of each of `tasks` (see evaluator/tasks/door.py), drawn from `seed`; `gate` is a sentence, see Gate.

    Each problem is asked `repeats` times. `thinking` is asked of models that have the two modes. Answers are scored as
    well as if cut at each of `caps` tokens. A candidate whose chance to reach the frontier falls under `race` times the share
    of answers that are left is stopped. `chance` is what guessing scores, where a task does not say so by problem.
    """

    tasks: Tasks
    samples: Count = 16
    seed: Annotated[int, Field(ge=0, lt=RANGE)] = 20_000
    repeats: Count = 1
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    max_new_tokens: Count | None = None                                # in place of the task's own
    caps: tuple[Count, ...] = ()
    thinking: bool | None = None
    gate: str = ""
    race: Annotated[float, Field(ge=0, lt=1)] = 0.0
    chance: Annotated[float, Field(ge=0, lt=1)] = 0.0
    chunk: Count = 32                                                  # answers that the engine works on at a time

    @field_validator("caps")
    @classmethod
    def _cutting(cls, value: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        most = info.data.get("max_new_tokens")
        if most and max(value, default=0) > most:
            raise ValueError(f"{max(value)} cuts nothing where answers end at max_new_tokens = {most}")
        return value


@dataclass(frozen=True)
class AccuracyStage(Usual):
    """`name` is the stage, and the metric it yields. Graded in the driver."""

    name: str
    settings: AccuracySettings
    gate: Gate | None

    @property
    def timeout_s(self) -> float:
        return self.settings.timeout_s

    def seeded(self, seed: int) -> "AccuracyStage":
        """The same on the problems of another seed (see evaluator/tasks/parts.py)."""
        return replace(self, settings=self.settings.model_copy(update={"seed": seed}))

    def fingerprints(self) -> Mapping[str, str]:
        """By task, what tells its contents from others of this name."""
        return {(task := find_task(name)).name: task.fingerprint() for name in self.settings.tasks}

    def told_again(self, point: OperatingPoint) -> tuple[str, ...]:
        """Tasks that another seed asks the same problems, and the model answers alike: too few to divide, and no draws."""
        if self.settings.temperature:
            return ()
        return tuple(task for task, samples in self._samples(point).items()
                     if any(sample.facts.get("part") == WHOLE for sample in samples))

    def problems(self, point: OperatingPoint) -> Sequence[Problem]:
        """The tasks take turns, so that a cut-off run has seen a little of each."""
        return [Problem(id=sample.id, ask=self._ask(sample), repeats=self.settings.repeats)
                for turn in zip_longest(*self._samples(point).values()) for sample in turn if sample is not None]

    def _samples(self, point: OperatingPoint) -> Mapping[str, Sequence[Sample]]:
        return {task: self._of(task, point) for task in self.settings.tasks}

    def _of(self, task: str, point: OperatingPoint) -> Sequence[Sample]:
        own = self.settings
        return _samples(task, own.seed, own.samples, Reader.of(point, own.thinking), own.max_new_tokens)

    def _ask(self, sample: Sample) -> Mapping[str, Any]:
        own = self.settings
        limit = own.max_new_tokens or sample.max_new_tokens
        drawn: dict[str, Any] = {name: value for name, usual in _GREEDY.items() if (value := getattr(own, name)) != usual}
        if own.temperature:
            drawn["seed"] = blake2b(sample.id.encode(), digest_size=8).hexdigest()        # an id holds the stage's seed
        if caps := [cap for cap in own.caps if cap < limit]:
            drawn["caps"] = caps
        return {"prompt": sample.prompt, "max_new_tokens": limit, **drawn}

    def run(self, engine: Engine, graph: Graph | None, point: OperatingPoint, problems: Sequence[Problem],
            done: Collection[tuple[str, int]]) -> Generator[Answered, None, None]:
        """See Stage."""
        return served(engine, problems, done, self.settings.chunk, None if graph is None else point)

    def grade(self, problem: Problem, answered: Answered, point: OperatingPoint) -> Row:
        """A fault of the output scores nothing, whatever a grader would find in it."""
        label = problem.id.split("/")[0]
        name = next(name for name in self.settings.tasks if find_task(name).name == label)
        sample = next(sample for sample in self._samples(point)[name] if sample.id == problem.id)
        text, cuts = str(answered.data["text"]), answered.data.get("cuts", {})
        fault = guard.output_fault(text, answered.data["tokens"], answered.data["finish"])
        grade = Grade(0.0, 0.0) if fault else find_task(name).grade(sample, text)
        at = {cap: find_task(name).grade(sample, text[:letters]).score for cap, letters in cuts.items()}
        told = {**grade.facts, **({"fault": fault} if fault else {}), **({"at": at} if at else {})}
        data = {**answered.data, **({"grade": told} if told else {})}
        return Row(stage=self.name, problem=problem.id, repeat=answered.repeat, score=grade.score, exact=grade.exact,
                   seconds=answered.seconds, data=data)

    def result(self, rows: Sequence[Row], context: Context) -> StageResult:
        """See Stage. Facts: accuracy by task, its interval on these very problems, the smallest difference it can see, those
        of evaluator/metrics.py."""
        estimate = statistics.mean_of_tasks(rows)
        status, code, message = self._verdict(rows, context)
        return StageResult(stage=self.name, status=status, code=code, message=message, metrics={self.name: estimate},
                           facts=self._facts(rows, context))

    def _facts(self, rows: Sequence[Row], context: Context) -> Mapping[str, Any]:
        by_task = {task.split("/")[1]: statistics.mean(s) for task, s in statistics.scores_by_task(rows).items()}
        problems, repeats = len(metrics.by_problem(rows)), self.settings.repeats
        share = None if context.is_dense else metrics.of_dense(self.name, rows, context.dense)
        return {"by_task": {task: metrics.plain(e) for task, e in by_task.items()},
                "exact": sum(row.exact for row in rows) / len(rows), "tasks": self.fingerprints(),
                "on_this_set": metrics.plain(statistics.on_this_set({self.name: rows})),
                **self._detectable(rows, context, problems),
                **({"of_dense": metrics.plain(share)} if share else {}),
                **({"pace": doubt} if (doubt := self._pace(rows, context)) else {}),
                **metrics.facts(rows, () if context.is_dense else context.dense, repeats)}

    def _detectable(self, rows: Sequence[Row], context: Context, problems: int) -> Mapping[str, float]:
        """What the candidate and dense decode share narrows it; before that is known it is a bound."""
        known, others = (rows, ()) if context.is_dense else (context.dense or None, (rows,))
        found = statistics.detectable(known, problems, self.settings.repeats, others=others)
        return {"detectable_at_most" if statistics.is_bound(known, others) else "detectable": found}

    def _pace(self, rows: Sequence[Row], context: Context) -> str:
        """A doubt, no verdict: dense decode answered at another time, maybe elsewhere, and nothing is ranked by goodput."""
        spared = [row.data["dense_bytes_per_step"] / row.data["bytes_per_step"]
                  for row in context.own.get(statistics.SPEED_STAGE, ()) if row.data.get("bytes_per_step")]
        return guard.beyond_pace(rows, context.dense, max(spared)) if spared and not context.is_dense else ""

    def _verdict(self, rows: Sequence[Row], context: Context) -> tuple[Status, str, str]:
        whole, found = len(rows) >= self._total(context.point), statistics.mean_of_tasks(rows).value
        if context.is_dense and whole and (silent := self._at_chance(rows, context.point)):
            return Status.GATE, "no-signal", (f"dense decode cannot be told from chance on {'; '.join(silent)}. Nothing can "
                                              "be ranked by it. Take an easier task, a better model, or more samples.")
        if (whole and not self._passes(rows, context)) or self._beyond(rows, context):
            return (Status.GATE if whole else Status.STOPPED), BELOW_GATE, self._below(rows, context)
        if not whole:
            return Status.STOPPED, "no-chance", (f"{self.name} {found:.3f} over {len(rows)} of {self._total(context.point)} "
                                                 f"answers: too small a chance of the frontier to answer the rest")
        return Status.OK, "", ""

    def _at_chance(self, rows: Sequence[Row], point: OperatingPoint) -> list[str]:
        """Tasks whose interval reaches down to what guessing scores: nothing, where answers are generated and none is told."""
        scores, silent = statistics.scores_by_task(rows), []
        for task, samples in self._samples(point).items():
            name, guesses = find_task(task).name, [sample.facts.get("chance", self.settings.chance) for sample in samples]
            found, chance = statistics.mean(scores[f"{self.name}/{name}"]), sum(guesses) / len(guesses)
            if found.low <= chance:
                silent.append(f"{name}: {_with_interval(found)}, guessing scores {chance:.3g}" if chance else name)
        return silent

    def hopeless(self, rows: Sequence[Row], context: Context) -> bool:
        """True when the gate is out of reach even if every problem that is left were solved; or the race is lost."""
        return self._beyond(rows, context) or self._lost(rows, context)

    def _passes(self, rows: Sequence[Row], context: Context) -> bool:
        if self.gate is None or context.is_dense:
            return True
        if self._threshold(context) <= 0:                     # of dense decode that scores nothing
            return True
        share = metrics.of_dense(self.name, rows, context.dense) if self.gate.of_dense else None
        return self.gate.passed_by(share or statistics.mean_of_tasks(rows))

    def _below(self, rows: Sequence[Row], context: Context) -> str:
        found, share = statistics.mean_of_tasks(rows), metrics.of_dense(self.name, rows, context.dense)
        told = f", {_with_interval(share)} of dense," if share else ""
        return (f"{self.name} {_with_interval(found)}{told} over {len(rows)} answers; the gate {self.gate} asks for "
                f"{self._threshold(context):.3f}")

    def _beyond(self, rows: Sequence[Row], context: Context) -> bool:
        """An interval's high end depends on all scores to come: a gate that asks for no more is judged at the end."""
        threshold = self._threshold(context)
        if threshold <= 0 or self.gate is None or self.gate.doubt == "possibly":
            return False
        lost = defaultdict[str, float](float)
        for row in rows:
            lost[row.problem.split("/")[0]] += 1 - row.score
        whole = {find_task(task).name: self.settings.repeats * len(samples)
                 for task, samples in self._samples(context.point).items()}
        best = sum(1 - lost[task] / answers for task, answers in whole.items()) / len(whole)
        return best < threshold - 1e-9

    def _lost(self, rows: Sequence[Row], context: Context) -> bool:
        """Asked after whole chunks alone: within one, short answers come first. Without speeds there is no race. The limit
        falls with the share of problems that are left, here and in later stages, as to stop then spares as much less."""
        own, left = self.settings, self._total(context.point) - len(rows)
        timed = statistics.SPEED_STAGE in context.own
        if not own.race or context.is_dense or context.control or not timed or not left or not rows or len(rows) % own.chunk:
            return False
        before = statistics.scores_by_task(statistics.accuracy_rows(context.own))
        total = {**{task: len(scores) for task, scores in before.items()}, **self.sizes(context.point), **context.later}
        rest = (left / own.repeats + sum(context.later.values())) / sum(total.values())
        return statistics.chance_on_frontier({**context.own, self.name: rows}, context.rivals, total) < own.race * rest

    def sizes(self, point: OperatingPoint) -> Mapping[str, int]:
        """See Stage."""
        return {f"{self.name}/{find_task(task).name}": self._size(task, point) for task in self.settings.tasks}

    def _size(self, task: str, point: OperatingPoint) -> int:
        """Problems that are generated need not be to be counted: there are as many as are asked for."""
        return len(self._of(task, point)) if isinstance(find_task(task), FixedSet) else self.settings.samples

    def _total(self, point: OperatingPoint) -> int:
        return self.settings.repeats * sum(map(len, self._samples(point).values()))

    def _threshold(self, context: Context) -> float:
        if self.gate is None or context.is_dense:
            return 0.0
        return self.gate.threshold(statistics.mean_of_tasks(context.dense).value if context.dense else None)


def make_accuracy(name: str, settings: AccuracySettings) -> AccuracyStage:
    """Raises CampaignError for a task that does not exist, stands twice, or a gate that cannot be read."""
    for task, times in Counter(find_task(task).name for task in settings.tasks).items():
        if times > 1:
            raise CampaignError(f"stage {name}: task {task} stands {times} times")
    if twice := same_problems(settings.tasks):
        raise CampaignError(f"stage {name}: {twice[0]} and {twice[1]} are the same problems", hint="Leave one of them out.")
    return AccuracyStage(name, settings, Gate.parse(settings.gate) if settings.gate else None)


@lru_cache(maxsize=64)
def _samples(task: str, seed: int, count: int, reader: Reader, limit: int | None) -> tuple[Sample, ...]:
    """In the driver alone: a stage that travels carries settings only. Raises CampaignError."""
    found = tuple(find_task(task).samples(seed, count, reader))
    tokens, new = max(((reader.count(one.prompt), limit or one.max_new_tokens) for one in found), key=sum, default=(0, 0))
    if tokens + new > reader.max_tokens:
        raise CampaignError(f"task {task}: {tokens:,} tokens of a prompt and {new:,} new ones are more than the "
                            f"{reader.max_tokens:,} of {reader.model}", hint="Lower max_new_tokens.")
    return found


def _with_interval(figure: Estimate) -> str:
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"
