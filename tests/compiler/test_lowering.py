"""Which patterns are lowered: what a lowered pattern swallows is not computed any more."""
from functools import partial

import pytest

from tests.compiler.world import built_in, written
from vortex.compiler import lowering
from vortex.compiler.lowering import Call, lower_indexer, schedule
from vortex.ir import Geometry, Graph

GEOMETRY = Geometry(block_size=32, head_dim=32, group=2)


def computed(graph: Graph) -> list[str]:
    """Ops of the nodes that are still computed, by the functions that compute them."""
    calls = lower_indexer(graph)
    wanted = [turn.index for turn in schedule(calls, [graph.selection])]
    functions = [calls[i].function for i in wanted]
    lowered = [f.func.__name__ if isinstance(f, partial) else f.__name__ for f in functions]
    names = [name if name in vars(lowering) else graph.indexer[i].op for i, name in zip(wanted, lowered, strict=True)]
    return sorted(name for name in names if name.startswith("_") or name in ("multiply", "kron", "maximum", "matmul"))


@pytest.mark.parametrize(("body", "left"), [
    ("return ops.topk((q.mean(dim=1) * cache['c']).sum(dim=2))", ["_sum_of_products"]),
    ("return ops.topk(ops.maximum(q * cache['hi'], q * cache['lo']).sum(dim=2).max(dim=1))", ["_sum_of_bounds"]),
    ("return ops.topk(ops.maximum(q * cache['lo'], cache['hi'] * q).sum(dim=2).max(dim=1))", ["_sum_of_bounds"]),
    ("return ops.topk(ops.maximum(q * cache['hi'], q * cache['c']).sum(dim=2).max(dim=1))",
     ["_sum_of_unordered_bounds"]),
    ("return ops.topk(q.mean(dim=1) @ cache['c'].T)", ["_row_times_blocks"]),
    ("return ops.topk((cache['c'] @ q.T).max(dim=2))", ["_blocks_times_row"]),
    ("return ops.topk((q * cache['p']).sum(dim=2).max(dim=1))", ["multiply"]),
    ("return ops.topk(ops.maximum(q * cache['hi'], -q * cache['lo']).sum(dim=2).max(dim=1))",
     ["maximum", "multiply", "multiply"]),
])
def test_pattern_becomes_products(body: str, left: list[str]) -> None:
    assert computed(written(body, GEOMETRY)) == left


@pytest.mark.parametrize("name", ["quest", "lserve"])
def test_bounds_of_keys_are_known_to_be_in_order(name: str) -> None:
    assert computed(built_in(name, GEOMETRY)) == ["_sum_of_bounds"]


def test_a_mask_of_columns_weighs_the_query_and_a_negative_one_does_not() -> None:
    bound = "ops.maximum(q * cache['hi'], q * cache['lo'])"
    assert computed(built_in("masked-quest", GEOMETRY)) == ["_weighed_sum_of_bounds"]
    for outside, left in (("1.0", "_weighed_sum_of_bounds"), ("-1.0", "maximum")):
        mask = f"ops.mask(q * cache['hi'], 0, 4, dim=2, inside=0.0, outside={outside})"
        assert left in computed(written(f"return ops.topk(({mask} * {bound}).sum(dim=2).max(dim=1))", GEOMETRY))


def test_a_value_is_let_go_after_its_last_use_and_roots_are_kept() -> None:
    def call(*args: int) -> Call:
        return Call(args, max)

    calls = [call(), call(), call(0, 0), call(1), call(0, 2), call(4)]
    turns = schedule(calls, [4, 2])
    assert [(turn.index, turn.spent) for turn in turns] == [(0, ()), (2, ()), (4, (0,))]
    assert [turn.spent for turn in schedule(calls, [5])] == [(), (), (0, 2), (4,)]
