"""The static stage: what a flow is and costs by arithmetic. No engine, no model, no row."""
from collections import Counter
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import Field

from evaluator.report import Row, StageResult, Status
from evaluator.stage import Answered, Context, Problem, Usual
from evaluator.stages.settings import StageSettings, read_settings
from vortex.compiler.cost import Cost, Shape, cost, stored_bytes
from vortex.config import OperatingPoint
from vortex.ir import Graph
from vortex.serving.engine import Engine

NAME = "static"


class StaticSettings(StageSettings):
    """Costs are told for a request of `context` tokens. Limits: summaries and state as a share of the K and V they
    describe, and the largest value alive while one row is scored."""

    context: Annotated[int, Field(ge=1)] = 8192
    summary_share: Annotated[float, Field(gt=0)] = 1.0
    widest_bytes: Annotated[int, Field(gt=0)] = 16 << 20


@dataclass(frozen=True)
class StaticStage(Usual):
    """Its facts are per row: one request, one kv head, one layer that selects."""

    settings: StaticSettings
    name: str = NAME

    @property
    def timeout_s(self) -> float:
        return self.settings.timeout_s

    def problems(self, point: OperatingPoint) -> Sequence[Problem]:
        """None: the Graph says it all."""
        return ()

    def run(self, engine: Engine, graph: Graph | None, point: OperatingPoint, problems: Sequence[Problem],
            done: Collection[tuple[str, int]]) -> Generator[Answered, None, None]:
        """Yields nothing."""
        yield from ()

    def grade(self, problem: Problem, answered: Answered, point: OperatingPoint) -> Row:
        raise AssertionError("the static stage has no problems")

    def result(self, rows: Sequence[Row], context: Context) -> StageResult:
        """See Stage."""
        if context.graph is None:
            return StageResult(stage=NAME, status=Status.OK)
        found = self.cost(context.graph, context.point)
        facts = {**describe(context.graph), "context": self.settings.context,
                 "index_bytes_per_block": found.index_bytes_per_block, "widest_bytes": found.widest_bytes,
                 "bytes_per_row": found.bytes_per_step, "operations_per_row": found.operations,
                 "dense_bytes_per_row": self.cost(None, context.point, context.graph).bytes_per_step}
        code, message = self._refusal(context.graph, found)
        status = Status.REJECTED if code else Status.OK
        return StageResult(stage=NAME, status=status, code=code, message=message, facts=facts)

    def cost(self, graph: Graph | None, point: OperatingPoint, like: Graph | None = None) -> Cost:
        """The cost of one row of one layer that selects; dense (None) is told for the geometry of `like`."""
        shaped = graph or like
        assert shaped is not None, "a cost needs a geometry"
        shape = Shape(context=self.settings.context, layers=1, kv_heads=1)
        return cost(graph, point.with_(layers_skip=(), layer_modes=()), shaped.geometry, shape)

    def _refusal(self, graph: Graph, found: Cost) -> tuple[str, str]:
        kv_bytes = graph.geometry.block_size * stored_bytes(graph.geometry)
        if found.index_bytes_per_block > self.settings.summary_share * kv_bytes:
            return "SummaryTooLarge", (f"summaries and state take {found.index_bytes_per_block:,} bytes a block; "
                                       f"the block's keys and values take {kv_bytes:,}")
        if found.widest_bytes > self.settings.widest_bytes:
            return "ValueTooLarge", (f"scoring a row of {self.settings.context:,} tokens holds a value of "
                                     f"{found.widest_bytes:,} bytes; {self.settings.widest_bytes:,} are allowed")
        return "", ""


def describe(graph: Graph) -> dict[str, Any]:
    """`name`, `hash`, `fields` with shape and kind, `ops` with the number of times each is used."""
    ops = Counter(node.op for node in (*graph.cache, *graph.indexer))
    return {"name": graph.name, "hash": graph.hash, "fields": [asdict(field) for field in graph.fields],
            "ops": dict(sorted(ops.items()))}


def make(settings: Mapping[str, Any]) -> StaticStage:
    """Raises CampaignError."""
    return StaticStage(read_settings(NAME, StaticSettings, settings))
