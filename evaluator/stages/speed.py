"""Decode speed: forced decode at fixed shapes, each repeat beside the engine's own dense decode in the same lease."""
import math
import os
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import median
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from evaluator import guard, metrics, processes, statistics
from evaluator.cluster.devices import taken_bytes
from evaluator.report import Estimate, Row, StageResult, Status
from evaluator.stage import Answered, Context, Problem, Usual
from evaluator.stages.settings import StageSettings, read_settings
from evaluator.stages.usage import where_timed
from evaluator.worker import gpu_ids
from vortex.budget import num_blocks
from vortex.compiler.bits import field_bytes
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


def _once_each(sizes: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(sizes)) < len(sizes):
        raise ValueError("a size stands twice, and would be timed twice under one name")
    return sizes


Sizes: TypeAlias = Annotated[tuple[Positive, ...], BeforeValidator(_as_list), Field(min_length=1), AfterValidator(_once_each)]


class SpeedSettings(StageSettings):
    """`batch` requests of `context` tokens: numbers, or lists for all their pairs; of `steps` timed ones the median
    counts, after `warmup`.

    Changing between flow and dense costs next to nothing: many short repeats see more of a busy machine than few long.
    """

    batch: Sizes = (8,)
    context: Sizes = (8192,)
    steps: Positive = 6
    warmup: Annotated[int, Field(ge=0)] = 1
    repeats: Annotated[int, Field(ge=2)] = 10


@dataclass(frozen=True)
class SpeedStage(Usual):
    """One problem a shape, one row a repeat: its score is the dense step's median over the flow's."""

    settings: SpeedSettings
    name: str = NAME

    @property
    def timeout_s(self) -> float:
        return self.settings.timeout_s

    def problems(self, point: OperatingPoint) -> Sequence[Problem]:
        """See Stage."""
        return [Problem(id=f"b{batch}-c{context}", ask={"batch": batch, "context": context}, repeats=self.settings.repeats)
                for batch, context in product(self.settings.batch, self.settings.context)]

    def run(self, engine: Engine, graph: Graph | None, point: OperatingPoint, problems: Sequence[Problem],
            done: Collection[tuple[str, int]]) -> Generator[Answered, None, None]:
        """Repeats go round the shapes, and who is timed first takes turns, so that a drift of the machine cancels."""
        threads = _threads()
        for flow in (graph, None) if len(done) < sum(p.repeats for p in problems) else ():
            engine.use(flow, point)
            self._steps_ms(engine, problems[0])                # the first time is not like the others
        used = {} if graph is None else self._used(engine, graph, point, problems, done)
        for repeat in range(self.settings.repeats):
            for problem in (p for p in problems if (p.id, repeat) not in done):
                order = (_DENSE, _FLOW) if repeat % 2 else (_FLOW, _DENSE)
                steps_ms: dict[str, list[float]] = {}
                for which in order:
                    engine.use(graph if which == _FLOW else None, point)
                    steps_ms[which] = self._steps_ms(engine, problem)
                data: dict[str, Any] = {which: median(steps) for which, steps in steps_ms.items()} | {"each": steps_ms}
                data |= {**problem.ask, **_bytes(graph, point, problem), "threads": threads, **used.get(problem.id, {})}
                seconds = (data[_DENSE] + data[_FLOW]) * self.settings.steps / 1000
                yield Answered(problem=problem.id, repeat=repeat, seconds=seconds, data=data)

    def _used(self, engine: Engine, graph: Graph, point: OperatingPoint, problems: Sequence[Problem],
              done: Collection[tuple[str, int]]) -> Mapping[str, Mapping[str, Any]]:
        """By shape, what the flow takes of its budget; not of shapes whose repeats are all there."""
        engine.use(graph, point)
        left = [one for one in problems if any((one.id, repeat) not in done for repeat in range(one.repeats))]
        return {one.id: {"used": dict(where_timed(engine, point, one.ask["batch"], one.ask["context"]))} for one in left}

    def _steps_ms(self, engine: Engine, problem: Problem) -> list[float]:
        steps = self.settings.warmup + self.settings.steps
        times = engine.forced_decode(problem.ask["batch"], problem.ask["context"], steps)
        return [1000 * seconds for seconds in times.seconds[self.settings.warmup:]]

    def grade(self, problem: Problem, answered: Answered, point: OperatingPoint) -> Row:
        """See Stage."""
        dense_ms, flow_ms = answered.data[_DENSE], answered.data[_FLOW]
        ratio = dense_ms / flow_ms if min(dense_ms, flow_ms) > 0 else math.nan       # what no clock gives is no figure
        return Row(stage=NAME, problem=problem.id, repeat=answered.repeat, score=ratio, seconds=answered.seconds,
                   data=answered.data)

    def result(self, rows: Sequence[Row], context: Context) -> StageResult:
        """Metrics: `speed`, and the two steps in ms, geometric means over the shapes."""
        speed = statistics.speed({NAME: rows})
        figures = {NAME: speed, _FLOW: _milliseconds(rows, _FLOW), _DENSE: _milliseconds(rows, _DENSE)}
        first, batch = rows[0].data, self.settings.batch
        facts = {key: first[key] for key in ("bytes_per_step", "dense_bytes_per_step", "threads")}
        facts |= {"batch": batch[0] if len(batch) == 1 else list(batch), "context": list(self.settings.context),
                  "shapes": {shape: _shape(repeats) for shape, repeats in metrics.by_problem(rows).items()}}
        doubt = "" if context.is_dense else guard.beyond_roofline(speed, rows)
        status, code = (Status.HACK, "beyond-roofline") if doubt else (Status.OK, "")
        return StageResult(stage=NAME, status=status, code=code, message=doubt, metrics=figures, facts=facts)


def _shape(rows: Sequence[Row]) -> dict[str, Any]:
    """Of one shape: the median ratio, percentiles of all timed steps in ms, and bytes; rows of earlier versions tell less."""
    steps = {which: [ms for row in rows for ms in row.data.get("each", {}).get(which, [row.data[which]])]
             for which in (_FLOW, _DENSE)}
    held = {key: rows[0].data[key] for key in ("bytes_per_step", "index_bytes") if key in rows[0].data}
    most = max((row.data for row in rows), key=lambda data: data.get("memory_bytes", 0))
    held |= {key: most[key] for key in ("memory_bytes", "memory_of") if key in most}
    return {"speed": median(row.score for row in rows), **{which: metrics.percentiles(each) for which, each in steps.items()},
            **held}


def _milliseconds(rows: Sequence[Row], which: str) -> Estimate:
    return statistics.median_ratio(statistics.per_repeat(rows, lambda row: float(row.data[which])))


def _bytes(graph: Graph | None, point: OperatingPoint, problem: Problem) -> dict[str, Any]:
    """What a step of the batch reads of K, V, summaries and state, and dense decode's; what summaries and state take;
    guard.step_floor; and what memory is taken."""
    from vortex.serving.checkpoint import find_checkpoint  # on the worker, which has loaded transformers already

    model = find_checkpoint(point.model, point.engine).shape
    shape = Shape(context=problem.ask["context"], layers=model.layers, kv_heads=model.kv_heads)
    geometry, batch = model.geometry(point.block_size), problem.ask["batch"]
    return {"bytes_per_step": batch * cost(graph, point, geometry, shape).bytes_per_step,
            "dense_bytes_per_step": batch * cost(None, point, geometry, shape).bytes_per_step,
            "index_bytes": batch * _index_bytes(graph, point, shape), **_memory(point),
            **guard.step_floor(graph, point, geometry, shape, batch, _device())}


def _index_bytes(graph: Graph | None, point: OperatingPoint, shape: Shape) -> int:
    """Summaries and state of one request, in the layers that select."""
    layers = sum(point.mode(layer) == "select" for layer in range(shape.layers))
    blocks = num_blocks(shape.context, point.block_size)
    return 0 if graph is None else field_bytes(graph, point) * blocks * shape.kv_heads * layers


def _memory(point: OperatingPoint) -> dict[str, Any]:
    """`memory_of` says what was counted.

    `allocated`: the most that tensors took on the GPU since the worker began, told by torch in this process. `gpus`: all that
    is taken of the worker's GPUs, where an engine in another process uses them, pools that wait to be filled included.
    `resident`: the worker and all that it started.
    """
    import torch  # as below

    if point.engine != "embedded":
        of, size = "gpus", sum(taken_bytes(gpu_ids()).values())
    else:
        of, size = "allocated", torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    return {"memory_bytes": size, "memory_of": of} if size else {"memory_bytes": _resident_bytes(), "memory_of": "resident"}


def _resident_bytes() -> int:
    this = processes.find(os.getpid())
    return processes.resident_bytes(processes.tree([this])) if this else 0


def _device() -> str:
    import torch  # on the worker: a campaign is read without it

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def _threads() -> int:
    import torch  # on the worker: a campaign is read without it

    return torch.get_num_threads()


def make(settings: Mapping[str, Any]) -> SpeedStage:
    """Raises CampaignError."""
    return SpeedStage(read_settings(NAME, SpeedSettings, settings))
