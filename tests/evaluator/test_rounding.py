"""What rounding may exchange and what it may not: scores by hand, engines that round otherwise, points that select nothing."""
from collections.abc import Collection, Mapping
from typing import Any

import pytest
import torch

from evaluator.cluster import LocalCluster
from evaluator.funnel import Funnel, MemoryBook, Silent, Work
from evaluator.report import Report, Row, Status
from evaluator.stages import agreement, make_stage
from evaluator.stages.rounding import exchanged_by_rounding
from tests.evaluator.cheats.engines import compiled, graph
from tests.evaluator.cheats.texts import body
from vortex import flows
from vortex.compiler import reference
from vortex.compiler.cpu import CpuProgram
from vortex.compiler.front import load
from vortex.compiler.program import Lists, Plan
from vortex.config import OperatingPoint
from vortex.ir import Geometry

pytestmark = pytest.mark.usefixtures("one_thread")
Fields = Mapping[str, torch.Tensor]
POINT = OperatingPoint(topk_ratio=0.125)
SMALL = OperatingPoint(topk_val=1, topk_ratio=0.0, block_size=1, block_reserved_eos=1)
BY_KEY = "(q.mean(dim=1) @ cache['k'].mean(dim=1).T)"


def differs(taken: Collection[int], scores: list[float], select: str = "topk({})", score: str = BY_KEY,
            point: OperatingPoint = SMALL) -> bool:
    """Keys of one channel are the scores; the first block and the last are reserved."""
    flow = load(body("return ops." + select.format(score)), "<test>", Geometry(1, 1, 1))
    keys = torch.tensor([*scores, 0.0])[:, None]
    row = reference.Row(q=torch.ones(1, 1), k=keys, v=keys)
    right = reference.run(flow, point, row)
    assert set(taken) != set(right.blocks)
    return not exchanged_by_rounding(flow, point, row, None, right, taken, 1e-4)


@pytest.mark.parametrize(("taken", "expected"), [
    ((0, 2, 8), False),           # 3 and 2 differ in the last digits
    ((0, 4, 8), True),            # 4 scores far less
    ((0, 8), True),               # one is missing
    ((0, 3, 7), True),            # the reserved last block was given up
])
@pytest.mark.parametrize("score", [
    BY_KEY, f"(ops.where(ops.position() < 0.5, 1e30, {BY_KEY}))",
    f"(ops.where(ops.position() < 0.5, ops.position() * 0.0 - 1e38 - 3e38, {BY_KEY}))",
    f"({BY_KEY} * 1e30)", f"({BY_KEY} - {BY_KEY}.max(dim=0))",
], ids=["plain", "one is huge", "one is infinite", "all are huge", "the best is nothing"])
def test_only_blocks_that_rounding_exchanges_may_be_exchanged(taken: tuple[int, ...], expected: bool, score: str) -> None:
    assert differs(taken, [0.0, 0.1, 0.9999999, 1.0, 0.5, 0.2, 0.1, 0.0], score=score) is expected


def test_scores_that_are_alike_or_no_numbers_excuse_nothing() -> None:
    assert differs((0, 2, 3), [0.0, float("nan"), float("nan")])
    assert differs((0, 2, 3), [0.0, 1.0, 1.0], score="(ops.position() * 0.0)")


def test_where_scores_say_how_many_are_taken_one_at_the_edge_may_be_missing() -> None:
    over, under = [0.0, 0.1, 0.50001, 1.0, 0.2, 0.2, 0.1, 0.0], [0.0, 0.1, 0.49999, 1.0, 0.2, 0.2, 0.1, 0.0]
    several = SMALL.with_(topk_val=3)
    assert not differs((0, 3, 8), over, "threshold({}, t=0.5)", point=several)
    assert not differs((0, 2, 3, 8), under, "threshold({}, t=0.5)", point=several)
    assert differs((0, 2, 8), over, "threshold({}, t=0.5)", point=several)


class Rounded(CpuProgram):
    """Rounds otherwise than the reference, nearly as far as is allowed: queries and float32 summaries in the fourth or fifth
    digit, every third number of other summaries by one step of its format."""

    def update(self, fields: Fields, state: Fields, k: torch.Tensor, v: torch.Tensor, done_blocks: torch.Tensor,
               layer: int = 0) -> None:
        super().update(fields, state, k, v, done_blocks, layer)
        for field in fields.values():
            field[:, done_blocks] = self._off(field[:, done_blocks])

    def select(self, plan: Plan, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, fields: Fields, state: Fields,
               layer: int) -> Lists:
        return super().select(plan, q * (1 + 3e-5 * torch.randn(q.shape)), k, v, fields, state, layer)

    def _off(self, field: torch.Tensor) -> torch.Tensor:
        if field.dtype == torch.float32:
            return field * (1 + 5e-5 * torch.randn(field.shape))
        some = (torch.rand(field.shape) < 0.3) * torch.randn(field.shape).sign()
        return (field.float() * (1 + some * torch.finfo(field.dtype).eps / 2)).to(field.dtype)


def judged(name: str, point: OperatingPoint, stage: str = "numerics", settings: Mapping[str, Any] | None = None) -> Report:
    torch.manual_seed(7)
    cluster = LocalCluster(lambda engine: compiled(Rounded))
    work = Work(name=name, source="", graph=graph(name), point=point.with_(**flows.settings(flows.read(name)[2])))
    try:
        return Funnel([make_stage(stage, settings or {})], cluster).judge(work, MemoryBook(), Silent())
    finally:
        cluster.stop()


@pytest.mark.parametrize(("name", "dtype"), [
    ("double-sparsity", "float32"), ("running-average", "float32"), ("centroid", "bfloat16"), ("quest", "bfloat16"),
    ("running-average", "bfloat16"), ("value-energy", "bfloat16"), ("double-sparsity", "bfloat16"), ("h2o", "bfloat16"),
    ("lserve", "bfloat16"), ("twilight", "bfloat16"),
])
def test_an_engine_that_only_rounds_otherwise_passes(name: str, dtype: str) -> None:
    report = judged(name, POINT.with_(dtype=dtype))
    assert report.status is Status.OK, report.results[0].message


def test_a_point_whose_layers_are_all_dense_is_left_out_with_the_reason() -> None:
    for changes in ({"layers_skip": (0, 1, 2, 3)}, {"layer_modes": ("dense",)}):
        result = judged("quest", POINT.with_(**changes)).results[0]
        assert (result.status, result.skipped) == (Status.OK, True)
        assert result.message == "every layer of probe is dense at this point, so that nothing is selected"
    assert judged("quest", POINT.with_(layers_skip=(0, 1, 2))).results[0].facts["compared"] == 80


def row(problem: str, compared: int, agreed: int, exchanged: int = 0, first: str = "") -> Row:
    data = {"compared": compared, "agreed": agreed, "exchanged": exchanged, "first": first}
    return Row(stage="numerics", problem=problem, score=agreement.share(data), data=data)


@pytest.mark.parametrize(("rows", "code", "told"), [
    ([row("a", 10, 10), row("b", 10, 10, exchanged=10)], "", ""),
    ([row("a", 10, 10), row("b", 10, 9, first="layer 1 ...")], "selection-differs", "1 of 20 selections differ; layer 1 ..."),
    ([row("a", 10, 10), row("b", 0, 0)], "selection-differs", "of b none was recorded"),
    ([row("a", 0, 0), row("b", 0, 0)], "nothing-recorded", "recorded no selection"),
    ([row("a", 10, 10, exchanged=2), row("b", 10, 10, exchanged=9)], "rests-on-rounding", "11 of 20"),
])
def test_what_counts_say(rows: list[Row], code: str, told: str) -> None:
    found, message = agreement.fault(rows)
    assert found == code and told in message
