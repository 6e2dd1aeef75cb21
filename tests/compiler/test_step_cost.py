"""What the kernels of a step move equals arithmetic done by hand, and adds up to the cost of a request."""
import pytest

from tests.compiler.world import built_in, written
from vortex import flows
from vortex.compiler.cost import Shape, cost
from vortex.compiler.shapes import MODELS
from vortex.compiler.step_cost import kernel_bytes, step_kernels
from vortex.config import OperatingPoint
from vortex.ir import Geometry

GEOMETRY = Geometry(block_size=16, head_dim=64, group=2)
SHAPE = Shape(context=8192, layers=4, kv_heads=2, kv_itemsize_bytes=2)      # 512 blocks, of which 510 are scored
POINT = OperatingPoint(topk_ratio=1 / 16, dtype="bfloat16")                 # 32 blocks
ROWS = 3 * 2                                                                # of a batch of three


@pytest.mark.parametrize("name", [n for n in flows.names() if n not in ("loki", *flows.LATENT)])
@pytest.mark.parametrize("changes", [
    {}, {"renew_every": 4}, {"layer_modes": ("reuse", "select", "reuse", "dense")}, {"layers_skip": (0,)},
    {"topk_layers": ((29, 600), 61), "topk_ratio": 0.0},
], ids=str)
def test_kv_summaries_state_and_parameters_are_those_of_the_cost(name: str, changes: dict[str, object]) -> None:
    graph, point = built_in(name, GEOMETRY), POINT.with_(**changes)
    whole = cost(graph, point, GEOMETRY, SHAPE)
    found = {k.kind: k for k in step_kernels(graph, point, GEOMETRY, SHAPE, 3)}
    assert found["attend"].moved["kv"] == 3 * whole.kv_bytes
    scored = sum(found["score"].moved[matter] for matter in ("kv", "index", "state", "weights")) if "score" in found else 0
    assert scored == pytest.approx(3 * whole.index_bytes, abs=3)
    operations = sum(k.operations + k.products for k in found.values() if k.kind in ("attend", "score"))
    assert operations == pytest.approx(3 * whole.operations, abs=3)


def test_a_layer_of_quest_by_hand() -> None:
    found = {k.kind: k for k in step_kernels(built_in("quest", GEOMETRY), POINT, GEOMETRY, SHAPE, 3)}
    rows = 4 * ROWS                                                         # over the layers
    completed = rows / 16
    assert found["update"].moved == {"kv": completed * 16 * 64 * 2, "index": completed * 2 * 64 * 2, "state": 0}
    assert found["plan"].moved == {"lists": 4 * (2 * 3 + 4 * ROWS + 2 * 3 * 16)} and found["plan"].launches == 1
    assert found["score"].moved == {"index": rows * 510 * 2 * 64 * 2, "state": 0, "kv": 0, "weights": 0,
                                    "query": rows * 2 * 64 * 2, "scores": rows * 510 * 4, "lists": rows * 510 * 4}
    assert found["select"].moved == {"scores": rows * 510 * 4, "lists": rows * (32 + 2) * 4}
    assert found["attend"].moved == {"kv": rows * 32 * 16 * 2 * 64 * 2, "query": rows * 2 * 2 * 64 * 2, "lists": rows * 32 * 8}
    assert [found[kind].launches for kind in ("update", "score", "select", "attend")] == [4, 4, 4, 4]


@pytest.mark.parametrize(("changes", "launches"), [
    ({}, {"update": 4, "plan": 1, "score": 4, "select": 4, "attend": 4}),
    ({"renew_every": 4}, {"update": 4, "plan": 1, "score": 1, "select": 1, "attend": 4}),
    ({"layer_modes": ("dense", "select", "reuse")}, {"update": 1, "plan": 1, "score": 1, "select": 1, "attend": 4}),
    ({"ratio_layers": (1 / 16, 1 / 16, 1 / 8)}, {"update": 4, "plan": 3, "score": 4, "select": 4, "attend": 4}),
    ({"topk_ratio": 1.0}, {"update": 4, "attend": 4}), ({"layers_skip": (0, 1, 2, 3)}, {"attend": 4}),
    ({"layer_modes": ("reuse", "reuse", "dense", "select")}, {"update": 1, "plan": 1, "score": 1, "select": 1, "attend": 4}),
], ids=str)
def test_kernels_are_launched_where_a_layer_needs_them(changes: dict[str, object], launches: dict[str, int]) -> None:
    found = step_kernels(built_in("quest", GEOMETRY), POINT.with_(**changes), GEOMETRY, SHAPE, 3)
    assert {k.kind: k.launches for k in found} == launches


@pytest.mark.parametrize(("body", "numbers", "launches"), [
    ("return ops.topk(q.mean(dim=1) @ cache['c'].T)", 1, 1),
    ("s = q.mean(dim=1) @ cache['c'].T\nreturn ops.topk(s) | ops.topk(-s, k=4)", 2, 1),
    ("s = q.mean(dim=1) @ cache['c'].T\nreturn ops.topk(ops.softmax(s))", 1 + 2 * 1, 2),
    ("s = q @ cache['c'].T\nreturn ops.topk(ops.softmax(s).mean(dim=1))", 1 + 2 * 4, 2),
    ("return ops.everything()", 0, 0),
])
def test_scores_and_what_passes_between_scoring_kernels_go_through_memory(body: str, numbers: int, launches: int) -> None:
    found = {k.kind: k for k in step_kernels(written(body, GEOMETRY), POINT, GEOMETRY, SHAPE, 1)}
    score = found.get("score")
    assert (score.launches if score else 0) == 4 * launches
    assert (score.moved["scores"] if score else 0) == 4 * 2 * 510 * 4 * numbers


def test_products_run_on_tensor_cores_and_the_rest_does_not() -> None:
    by_flow = {name: {k.kind: k for k in step_kernels(built_in(name, GEOMETRY), POINT, GEOMETRY, SHAPE, 1)}["score"]
               for name in ("quest", "tidaldecode")}
    assert by_flow["quest"].products == 0 < by_flow["quest"].operations
    assert by_flow["tidaldecode"].products == 4 * 2 * 510 * 2 * 2 * 64 * 16


def test_latent_rows_are_attended_once_for_keys_and_values() -> None:
    model = MODELS["glm-4.7-flash"]
    geometry = model.geometry(16)
    found = kernel_bytes(built_in("mla-centroid", geometry), POINT, geometry, 1, 2, 8192)
    assert found["attend"] == 2 * (512 * 576 * 2 + 20 * (576 + 512) * 2 + 32 * 8)
    assert found["score"] == 2 * (510 * (576 * 2 + 4 + 4) + 20 * 576 * 2)


def test_kernel_bytes_are_those_of_the_first_layer_that_selects() -> None:
    graph, last = built_in("quest", GEOMETRY), POINT.with_(layer_modes=("dense", "select", "dense"))
    whole = step_kernels(graph, last, GEOMETRY, SHAPE, 3)
    found = kernel_bytes(graph, last, GEOMETRY, 2, 3, 8192)
    assert list(found) == ["update", "plan", "score", "select", "attend"]
    assert {kind: size for kind, size in found.items() if kind != "attend"} == \
        {k.kind: k.bytes for k in whole if k.kind != "attend"}
    dense = 3 * 2 * (8192 * 2 * 64 * 2 + 2 * 2 * 64 * 2 + 512 * 4)
    assert kernel_bytes(None, POINT, GEOMETRY, 2, 3, 8192) == {"attend": dense}
    assert kernel_bytes(graph, POINT, GEOMETRY, 2, 3, 8192, 1)["attend"] < found["attend"]
