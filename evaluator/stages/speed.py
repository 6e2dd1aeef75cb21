"""Decode speed: forced decode at fixed shapes, each repeat beside the engine's own dense decode in the same lease."""
import math
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field

from evaluator import guard, statistics
from evaluator.report import Estimate, Row, StageResult, Status
from evaluator.stage import Answered, Context, Problem, Usual
from evaluator.stages.settings import StageSettings, read_settings
from vortex.compiler.cost import Shape, cost
from vortex.config import OperatingPoint
from vortex.ir import Graph
from vortex.serving.engine import Engine

NAME = statistics.SPEED_STAGE
_DENSE = "dense_step_ms"
_FLOW = "step_ms"
Positive: TypeAlias = Annotated[int, Field(ge=1)]


def _as_list(value: object) -> object:
    return [value] if isinstance(value, int) else value


class SpeedSettings(StageSettings):
    """`context` is a number of tokens, or a list of them; of `steps` timed ones the median counts, after `warmup`.

    Changing between flow and dense costs next to nothing: many short repeats see more of a busy machine than few long.
    """

    batch: Positive = 8
    context: Annotated[tuple[Positive, ...], BeforeValidator(_as_list), Field(min_length=1)] = (8192,)
    steps: Positive = 6
    warmup: Annotated[int, Field(ge=0)] = 1
    repeats: Annotated[int, Field(ge=2)] = 10


@dataclass(frozen=True)
class SpeedStage(Usual):
    """One problem a context, one row a repeat: its score is the dense step's median over the flow's."""

    settings: SpeedSettings
    name: str = NAME

    @property
    def timeout_s(self) -> float:
        return self.settings.timeout_s

    def problems(self, point: OperatingPoint) -> Sequence[Problem]:
        """See Stage."""
        batch, repeats = self.settings.batch, self.settings.repeats
        return [Problem(id=f"b{batch}-c{context}", ask={"batch": batch, "context": context}, repeats=repeats)
                for context in self.settings.context]

    def run(self, engine: Engine, graph: Graph | None, point: OperatingPoint, problems: Sequence[Problem],
            done: Collection[tuple[str, int]]) -> Generator[Answered, None, None]:
        """Repeats go round the shapes, and who is timed first takes turns, so that a drift of the machine cancels."""
        threads = _threads()
        for flow in (graph, None) if len(done) < sum(p.repeats for p in problems) else ():
            engine.use(flow, point)
            self._step_ms(engine, problems[0])                 # the first time is not like the others
        for repeat in range(self.settings.repeats):
            for problem in (p for p in problems if (p.id, repeat) not in done):
                order = (_DENSE, _FLOW) if repeat % 2 else (_FLOW, _DENSE)
                data: dict[str, Any] = {}
                for which in order:
                    engine.use(graph if which == _FLOW else None, point)
                    data[which] = self._step_ms(engine, problem)
                data |= {**problem.ask, **_bytes(graph, point, problem), "threads": threads}
                seconds = (data[_DENSE] + data[_FLOW]) * self.settings.steps / 1000
                yield Answered(problem=problem.id, repeat=repeat, seconds=seconds, data=data)

    def _step_ms(self, engine: Engine, problem: Problem) -> float:
        steps = self.settings.warmup + self.settings.steps
        times = engine.forced_decode(problem.ask["batch"], problem.ask["context"], steps)
        return 1000 * median(times.seconds[self.settings.warmup:])

    def grade(self, problem: Problem, answered: Answered, point: OperatingPoint) -> Row:
        """See Stage."""
        dense_ms, flow_ms = answered.data[_DENSE], answered.data[_FLOW]
        ratio = dense_ms / flow_ms if min(dense_ms, flow_ms) > 0 else math.nan       # what no clock gives is no figure
        return Row(stage=NAME, problem=problem.id, repeat=answered.repeat, score=ratio, seconds=answered.seconds,
                   data=answered.data)

    def result(self, rows: Sequence[Row], context: Context) -> StageResult:
        """Metrics: `speed`, and the two steps in ms, geometric means over the shapes."""
        speed = statistics.speed({NAME: rows})
        metrics = {NAME: speed, _FLOW: _milliseconds(rows, _FLOW), _DENSE: _milliseconds(rows, _DENSE)}
        first = rows[0].data
        facts = {key: first[key] for key in ("batch", "bytes_per_step", "dense_bytes_per_step", "threads")}
        facts["context"] = list(self.settings.context)
        doubt = "" if context.is_dense else guard.beyond_roofline(speed, rows)
        status, code = (Status.HACK, "beyond-roofline") if doubt else (Status.OK, "")
        return StageResult(stage=NAME, status=status, code=code, message=doubt, metrics=metrics, facts=facts)


def _milliseconds(rows: Sequence[Row], which: str) -> Estimate:
    return statistics.median_ratio(statistics.per_repeat(rows, lambda row: float(row.data[which])))


def _bytes(graph: Graph | None, point: OperatingPoint, problem: Problem) -> dict[str, Any]:
    """Bytes of K, V, summaries and state that a step of the batch reads, those of dense decode, and guard.step_floor."""
    from vortex.serving.checkpoint import find_checkpoint  # on the worker, which has loaded transformers already

    model = find_checkpoint(point.model, point.engine).shape
    shape = Shape(context=problem.ask["context"], layers=model.layers, kv_heads=model.kv_heads)
    geometry, batch = model.geometry(point.block_size), problem.ask["batch"]
    return {"bytes_per_step": batch * cost(graph, point, geometry, shape).bytes_per_step,
            "dense_bytes_per_step": batch * cost(None, point, geometry, shape).bytes_per_step,
            **guard.step_floor(graph, point, geometry, shape, batch, _device())}


def _device() -> str:
    import torch  # on the worker: a campaign is read without it

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def _threads() -> int:
    import torch  # on the worker: a campaign is read without it

    return torch.get_num_threads()


def make(settings: Mapping[str, Any]) -> SpeedStage:
    """Raises CampaignError."""
    return SpeedStage(read_settings(NAME, SpeedSettings, settings))
