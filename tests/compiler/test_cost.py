"""The cost of a decode step equals arithmetic done by hand, and budgets equal the worked examples of the semantics."""
import pytest

from vortex import flows
from vortex.budget import attended, budget, num_blocks
from vortex.compiler.cost import Shape, cost
from vortex.compiler.front import load
from vortex.config import OperatingPoint
from vortex.errors import PointError
from vortex.ir import Geometry, Graph

GEOMETRY = Geometry(block_size=16, head_dim=64, group=2)
SHAPE = Shape(context=8192, layers=4, kv_heads=2)
TOKEN_BYTES = 2 * 64 * 4          # K and V of one token and kv head in fp32


def graph(name: str) -> Graph:
    _, text, path = flows.read(name)
    return load(text, path, GEOMETRY)


@pytest.mark.parametrize(("length", "ratio", "blocks", "taken"), [
    (100, 0.0, 7, 7), (512, 0.0, 32, 32), (513, 0.0, 33, 32), (16384, 0.0625, 1024, 64),
])
def test_budgets_are_those_of_the_worked_examples(length: int, ratio: float, blocks: int, taken: int) -> None:
    point = OperatingPoint(topk_val=29, topk_ratio=ratio)
    assert num_blocks(length, point.block_size) == blocks
    assert attended(blocks, point) == taken


def test_the_ratio_is_a_product_of_floats_and_never_under_the_reserved_blocks() -> None:
    # 0.1 is a little over a tenth as a C float: 30 blocks of it are 3, not 2.
    assert budget(30, OperatingPoint(topk_ratio=0.1)) == 3
    assert budget(10, OperatingPoint(topk_ratio=0.1)) == 3
    assert budget(100, OperatingPoint(topk_ratio=0.29)) == 29


@pytest.mark.parametrize(("name", "field_bytes", "read_per_block"), [
    ("centroid", 64 * 4, 64 * 4), ("quest", 2 * 64 * 4, 2 * 64 * 4), ("value-energy", 65 * 4, 65 * 4),
    ("running-average", 65 * 4, 66 * 4),                  # state is read and written back
    ("random", 0, 0), ("oracle-peak", 0, 16 * 64 * 4),    # reads every key
])
def test_bytes_of_a_step_are_the_selected_kv_and_the_scored_summaries(name: str, field_bytes: int,
                                                                      read_per_block: int) -> None:
    found = cost(graph(name), OperatingPoint(topk_ratio=1 / 16), GEOMETRY, SHAPE)
    assert found.index_bytes_per_block == field_bytes
    assert found.kv_bytes == 4 * 2 * 32 * 16 * TOKEN_BYTES
    assert found.index_bytes == 4 * 2 * (512 - 2) * read_per_block


def test_dense_reads_everything_and_layers_that_skip_do_too() -> None:
    everything = 4 * 2 * 8192 * TOKEN_BYTES
    point = OperatingPoint(topk_ratio=1 / 16)
    assert cost(None, point, GEOMETRY, SHAPE).bytes_per_step == everything
    assert cost(graph("dense"), point, GEOMETRY, SHAPE).bytes_per_step == everything
    one_dense = cost(graph("centroid"), point.with_(layers_skip=(0,)), GEOMETRY, SHAPE)
    assert one_dense.kv_bytes == everything // 4 + 3 * 2 * 32 * 16 * TOKEN_BYTES
    assert one_dense.index_bytes == 3 * 2 * 510 * 64 * 4


def test_a_row_that_fits_scores_nothing() -> None:
    assert cost(graph("quest"), OperatingPoint(topk_ratio=1.0), GEOMETRY, SHAPE).index_bytes == 0


@pytest.mark.parametrize(("settings", "said"), [
    ({"topk_ratio": 1.5}, "topk_ratio"), ({"block_size": 24}, "power of two"), ({"block_reserved_eos": 0}, "block_reserved_eos"),
    ({"budget": 3}, "budget"), ({"engine": "vllm"}, "engine"),
])
def test_points_that_cannot_be_are_refused_by_the_name_of_the_setting(settings: dict[str, object], said: str) -> None:
    with pytest.raises(PointError, match=said):
        OperatingPoint().with_(**settings)
