"""The cost of a decode step equals arithmetic done by hand, and budgets equal the worked examples of the semantics."""
import pytest

from tests.compiler.world import written
from vortex import flows
from vortex.budget import attended, budget, num_blocks
from vortex.compiler.bits import field_bytes
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


@pytest.mark.parametrize(("name", "kept", "read_per_block"), [
    ("centroid", 64 * 4, 64 * 4), ("quest", 2 * 64 * 4, 2 * 64 * 4), ("value-energy", 65 * 4, 65 * 4),
    ("running-average", 65 * 4, 66 * 4),                  # state is read and written back
    ("random", 0, 0), ("oracle-peak", 0, 16 * 64 * 4),    # reads every key
])
def test_bytes_of_a_step_are_the_selected_kv_and_the_scored_summaries(name: str, kept: int,
                                                                      read_per_block: int) -> None:
    found = cost(graph(name), OperatingPoint(topk_ratio=1 / 16), GEOMETRY, SHAPE)
    assert found.index_bytes_per_block == kept
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


SPARSE = 32 * 16 * TOKEN_BYTES    # K and V of one row at a sixteenth of 512 blocks
EVERY = 512 * 16 * TOKEN_BYTES
INDEX = 510 * 64 * 4              # centroids of one row


@pytest.mark.parametrize(("changes", "kv_bytes", "index_bytes"), [
    ({"layer_modes": ("dense", "select", "reuse")}, 2 * (EVERY + 3 * SPARSE), 2 * INDEX),
    ({"renew_every": 4}, 8 * SPARSE, 2 * INDEX),
    ({"ratio_layers": (1.0, (1 / 16, 1 / 8))}, 2 * EVERY + 3 * (SPARSE + 2 * SPARSE), 6 * INDEX),
    ({"topk_ratio": 0.0, "topk_layers": ((29, 600), 61)}, SPARSE + EVERY + 6 * 2 * SPARSE, 7 * INDEX),
], ids=str)
def test_modes_tables_and_renewal_are_paid_for_as_they_are_used(changes: dict[str, object], kv_bytes: int,
                                                                index_bytes: int) -> None:
    found = cost(graph("centroid"), OperatingPoint(topk_ratio=1 / 16).with_(**changes), GEOMETRY, SHAPE)
    assert (found.kv_bytes, found.index_bytes) == (kv_bytes, index_bytes)


@pytest.mark.parametrize(("selection", "taken", "scored"), [
    ("ops.topk(s)", 32, 510), ("ops.topk(s, k=61)", 64, 510), ("ops.topk(s, k=61) | ops.topk(-s, k=64)", 128, 510),
    ("ops.top_p(s, 0.5)", 32, 510), ("ops.threshold(s, 0.5) | ops.topk(s, k=32)", 64, 510),
    ("ops.topk(s, k=400) | ops.topk(-s, k=400)", 512, 510), ("ops.topk(s, k=509)", 512, 0),
    ("ops.topk(s) | ops.everything()", 512, 0),
])
def test_rules_are_counted_at_the_most_blocks_they_take(selection: str, taken: int, scored: int) -> None:
    made = written(f"s = q.mean(dim=1) @ cache['c'].T\nreturn {selection}", GEOMETRY)
    found = cost(made, OperatingPoint(topk_ratio=1 / 16), GEOMETRY, Shape(context=8192, layers=1, kv_heads=1))
    assert (found.kv_bytes, found.index_bytes) == (taken * 16 * TOKEN_BYTES, scored * 64 * 4)


@pytest.mark.parametrize(("name", "dtype", "wanted"), [
    ("twilight", "float32", 16 * 64 // 2 + 16 * 2),           # 4 bits a number, 16 a row for its scale
    ("twilight", "bfloat16", 16 * 64 // 2 + 16 * 2), ("centroid", "bfloat16", 64 * 2),
    ("double-sparsity", "float32", 16 * 8 * 4),
])
def test_fields_are_counted_at_the_format_they_were_rounded_to(name: str, dtype: str, wanted: int) -> None:
    found = cost(graph(name), OperatingPoint(topk_ratio=1 / 16).with_(dtype=dtype), GEOMETRY, SHAPE)
    assert found.index_bytes_per_block == wanted


def test_signs_take_a_bit_and_scales_stand_along_the_axis() -> None:
    body = "return ops.topk((q @ cache['s'].T).max(dim=1).max(dim=2))"
    head = "from vortex import ops, register, vFlow\n\n\n@register('x')\nclass X(vFlow):\n    def forward_cache(self, cache):\n"
    for summary, wanted in (("cache['k'].sign()", 16 * 64 // 8), ("cache['k'].quantize('int8', dim=1)", 16 * 64 + 64 * 2),
                            ("cache['k'].quantize('fp8').max(dim=1)", 64 * 4), ("cache['k'].quantize('fp8')[:, 0:3]", 192)):
        text = f"{head}        cache['s'] = {summary}\n    def forward_indexer(self, q, cache):\n        {body}\n"
        assert field_bytes(load(text, "x.py", GEOMETRY), OperatingPoint()) == wanted


def test_a_parameter_is_read_once_a_scored_row() -> None:
    found = cost(graph("loki"), OperatingPoint(topk_ratio=1 / 16), GEOMETRY, SHAPE)
    assert found.index_bytes == 4 * 2 * (510 * 16 * 16 * 4 + 64 * 16 * 4)


def test_latent_rows_are_read_once() -> None:
    geometry = Geometry.of_latent(16, 512, 64, 20)
    shape, point = Shape(context=8192, layers=2, kv_heads=1, kv_itemsize_bytes=2), OperatingPoint(topk_ratio=1 / 16)
    _, text, path = flows.read("mla-centroid")
    found = cost(load(text, path, geometry), point, geometry, shape)
    assert found.kv_bytes == 2 * 512 * 576 * 2 and found.index_bytes == 2 * 510 * 576 * 4
    assert cost(None, point, geometry, shape).operations == 2 * 8192 * 20 * 2 * (576 + 512)


def test_a_row_that_fits_scores_nothing() -> None:
    assert cost(graph("quest"), OperatingPoint(topk_ratio=1.0), GEOMETRY, SHAPE).index_bytes == 0


@pytest.mark.parametrize(("settings", "said"), [
    ({"topk_ratio": 1.5}, "topk_ratio"), ({"block_size": 24}, "power of two"), ({"block_reserved_eos": 0}, "block_reserved_eos"),
    ({"budget": 3}, "budget"), ({"engine": "vllm"}, "engine"),
])
def test_points_that_cannot_be_are_refused_by_the_name_of_the_setting(settings: dict[str, object], said: str) -> None:
    with pytest.raises(PointError, match=said):
        OperatingPoint().with_(**settings)
