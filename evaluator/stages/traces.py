"""Traces: cheap figures on recorded dense runs that turn away hopeless flows before their accuracy is paid for.

They reject, they never rank: which of them may do so, and at which limit, is what docs/proxies.md finds.
"""
from collections import defaultdict
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from evaluator.report import Row, StageResult, Status
from evaluator.stage import Answered, Context, Problem, Usual
from evaluator.stages.accuracy import Tasks
from evaluator.stages.settings import StageSettings, read_settings
from evaluator.tasks.door import find_task
from evaluator.tasks.parts import RANGE
from evaluator.tasks.reader import Reader
from evaluator.tasks.registry import REASONING_PRESETS, RETRIEVAL_PRESETS
from evaluator.traces import judge
from evaluator.traces.names import OFFLINE, PROXIES, loss
from evaluator.traces.prompts import SEED, WINDOW, Prompt, prompts_of
from vortex import flows
from vortex.compiler.front import load
from vortex.config import OperatingPoint
from vortex.errors import CampaignError
from vortex.ir import Graph
from vortex.serving.engine import Engine

NAME = "traces"
LEADABLE = ("embedded",)                  # engines that replay: others have the figures that need no model alone
REJECT: Mapping[str, float] = {"kl": 4.0, "disagreement": 4.0}
# Four times what Quest loses at an eighth of the blocks on the probe, where the limits were found (docs/proxies.md).
SPARE: Mapping[str, float] = {"kl": 1.6, "disagreement": 0.1}


class TracesSettings(StageSettings):
    """`reject`: proxy -> times `control`'s loss from which on a flow is turned away, unless it is under `spare`
    (KL in nats, shares): at a generous budget the control loses next to nothing. `bytes`: both at the point as it is, or
    "equal", both reading as many bytes a step, index included; the frontier weighs bytes itself, so that a good flow with a
    large index is not to be turned away for it. `samples` prompts of each of `tasks`, `steps` captured of each; `thinking`
    is asked of models that have the two modes.
    """

    tasks: Tasks = (*RETRIEVAL_PRESETS, *REASONING_PRESETS)
    samples: Annotated[int, Field(ge=1)] = 4
    seed: Annotated[int, Field(ge=0, lt=RANGE)] = SEED
    steps: Annotated[int, Field(ge=1)] | Literal["every"] = 3
    window: Annotated[int, Field(ge=3)] = WINDOW
    thinking: bool | None = None
    control: str = "quest"
    bytes: Literal["equal", "point"] = "point"
    reject: Mapping[str, Annotated[float, Field(gt=0)]] = REJECT
    spare: Mapping[str, Annotated[float, Field(ge=0)]] = SPARE

    @field_validator("reject", "spare")
    @classmethod
    def _known(cls, value: Mapping[str, float], info: ValidationInfo) -> Mapping[str, float]:
        unknown = sorted(set(value) - set(PROXIES))
        if unknown or (info.field_name == "reject" and not value):
            raise ValueError(f"{', '.join(unknown) or 'nothing'} is no proxy; known: {', '.join(PROXIES)}")
        return value


@dataclass(frozen=True)
class TracesStage(Usual):
    """One row a trajectory: its score is the share of tokens where the likeliest is that of dense decoding (where nothing is
    replayed: the mass attended); `data` holds the proxies, the control's beside them."""

    settings: TracesSettings
    name: str = NAME

    @property
    def timeout_s(self) -> float:
        return self.settings.timeout_s

    def problems(self, point: OperatingPoint) -> Sequence[Problem]:
        """See Stage."""
        own = self.settings
        prompts = prompts_of(own.tasks, own.seed, own.samples, Reader.of(point, own.thinking), own.window)
        return [Problem(id=p.id, ask={"prompt": p.text, "max_new_tokens": p.max_new_tokens}) for p in prompts]

    def skip(self, context: Context) -> str:
        """See Stage."""
        if context.is_dense:
            return "the traces are those of dense decoding"
        led = sorted(set(self.settings.reject) - set(OFFLINE))
        if context.point.engine not in LEADABLE and led:
            return f"{', '.join(led)} lead the model along recorded answers, which the {context.point.engine} engine cannot do"
        return ""

    def run(self, engine: Engine, graph: Graph | None, point: OperatingPoint, problems: Sequence[Problem],
            done: Collection[tuple[str, int]]) -> Generator[Answered, None, None]:
        """All trajectories go through the model together, whatever is done."""
        if graph is None:
            return
        from evaluator.traces.kept import kept  # on the worker: it needs torch
        from evaluator.traces.proxies import measure

        equal = self.settings.bytes == "equal"
        prompts = [Prompt(id=p.id, text=p.ask["prompt"], max_new_tokens=p.ask["max_new_tokens"]) for p in problems]
        have = kept(engine, point, prompts, self.settings.steps)
        _, text, path = flows.read(self.settings.control)
        control = load(text, path, graph.geometry)
        beside = {one.id: one for one in have.control(engine, self.settings.control, control, point, equal=equal)}
        own = {one.id: one for one in measure(have.traces, engine, graph, point, control if equal else None)}
        for problem in problems:
            if (problem.id, 0) not in done:
                found = own.get(problem.id)
                yield Answered(problem=problem.id, data={} if found is None else {
                    "proxies": dict(found.values), "control": dict(beside[problem.id].values), "share": found.share})

    def grade(self, problem: Problem, answered: Answered, point: OperatingPoint) -> Row:
        """An answer too short to be followed counts as unharmed, and is left out of the figures."""
        values = answered.data.get("proxies", {"mass": 1.0})
        score = 1.0 - values["disagreement"] if "disagreement" in values else values["mass"]
        return Row(stage=NAME, problem=problem.id, score=score, data=answered.data)

    def result(self, rows: Sequence[Row], context: Context) -> StageResult:
        """Metrics: every proxy, by name. A control is measured to its end: it is never turned away."""
        followed = [row for row in rows if row.data]
        if not followed:
            return StageResult(stage=NAME, status=Status.OK, facts={"trajectories": 0})
        own, beside = _losses(followed, "proxies"), _losses(followed, "control")
        metrics = {name: judge.mean([float(row.data["proxies"][name]) for row in followed]) for name in own}
        facts = {"trajectories": len(followed), "control": self.settings.control,
                 "share_of_allowance": max(float(row.data["share"]) for row in followed)}
        found = "" if context.control else judge.worse(own, beside, self.settings.reject, self.settings.spare)
        if not found:
            return StageResult(stage=NAME, status=Status.OK, metrics=metrics, facts=facts)
        times = sum(own[found]) / sum(beside[found])
        message = (f"{found} is {times:.1f} times {self.settings.control}'s over {len(followed)} recorded answers"
                   f"{' at equal bytes' if self.settings.bytes == 'equal' else ''}; up to {self.settings.reject[found]:g} pass "
                   f"({PROXIES[found].doc})")
        return StageResult(stage=NAME, status=Status.GATE, code=f"worse-{found}", message=message, metrics=metrics, facts=facts)


def _losses(rows: Sequence[Row], which: str) -> Mapping[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for name, value in row.data[which].items():
            found[name].append(loss(name, float(value)))
    return found


def make(settings: Mapping[str, Any]) -> TracesStage:
    """Raises CampaignError for a task or a control that does not exist."""
    found = read_settings(NAME, TracesSettings, settings)
    for task in found.tasks:
        find_task(task)
    known = [name for name in flows.names() if name != "dense"]
    if found.control not in known:
        raise CampaignError(f"stage {NAME}: {found.control} is no built-in flow that loses something",
                            hint=f"Known: {', '.join(known)}.")
    return TracesStage(found)
