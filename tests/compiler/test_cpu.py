"""The batched Program equals the one-row reference: every built-in flow, any lengths, any layout of blocks."""
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compiler.world import World, built_in, written
from vortex.compiler import reference
from vortex.compiler.cpu import CpuProgram, dense_graph
from vortex.compiler.program import Lists
from vortex.config import OperatingPoint
from vortex.flows import CALIBRATED, LATENT, names
from vortex.ir import Geometry

GEOMETRY = Geometry(block_size=16, head_dim=32, group=2)
POINT = OperatingPoint(topk_val=2, topk_ratio=0.25)
MIXED = [3, 16, 81, 96, 97, 200, 333]     # fits; one block; the budget of 5 reached, full and passed; larger


def geometry_of(name: str, block_size: int = 16, group: int = 2) -> Geometry:
    """One that the built-in flow can be traced for."""
    if name in LATENT:
        return Geometry.of_latent(block_size, 32, 16, group)
    return Geometry(block_size, 64 if name in CALIBRATED else 32, group)


@pytest.mark.parametrize("scattered", [False, True], ids=["contiguous", "scattered"])
@pytest.mark.parametrize("name", names())
def test_built_in_flow_selects_and_attends_as_the_reference(name: str, scattered: bool) -> None:
    World(built_in(name, geometry_of(name)), POINT, MIXED, scattered=scattered).check()


@pytest.mark.parametrize("name", names())
def test_equal_lengths_side_by_side_are_read_as_one_view_and_give_the_same(name: str) -> None:
    plan = World(built_in(name, geometry_of(name)), POINT, [200, 200, 200]).check()
    assert all(part.scored is None or part.scored.spacing == 16 for part in plan.parts.values())


def test_equal_block_counts_of_unequal_lengths_share_a_view() -> None:
    plan = World(built_in("centroid", GEOMETRY), POINT, [199, 197, 208]).check()
    assert [part.scored.spacing for part in plan.parts.values() if part.scored] == [16] and plan.spacing is None


@pytest.mark.parametrize("scattered", [False, True])
def test_state_is_kept_from_step_to_step_and_reset_when_a_block_completes(scattered: bool) -> None:
    world = World(built_in("running-average", GEOMETRY), POINT, [70, 110, 200, 207], scattered=scattered)
    for _ in range(40):
        world.check()
        world.grow()


def test_two_states_may_be_made_of_each_other() -> None:
    body = ("a = cache.state('a', first=1.0)\nb = cache.state('b', first=2.0)\n"
            "cache['a'] = b\ncache['b'] = a + q.mean(dim=1) @ cache['c'].T\nreturn ops.topk(a - b)")
    for lens in ([200, 200], [200, 150]):
        world = World(written(body, GEOMETRY), POINT, lens)
        for _ in range(5):
            world.check()
            world.grow()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["centroid", "quest", "centered-centroid", "running-average"])
def test_rounding_happens_into_fields_only(name: str, dtype: str) -> None:
    world = World(built_in(name, GEOMETRY), POINT.with_(dtype=dtype), [120, 200, 210])
    world.check()
    world.grow()
    world.check()


@pytest.mark.parametrize("changes", [
    {"topk_val": 0, "topk_ratio": 0.0},                                   # nothing chosen by score
    {"topk_val": 0, "topk_ratio": 1.0},
    {"block_reserved_bos": 0, "block_reserved_eos": 1},
    {"block_reserved_bos": 3, "block_reserved_eos": 4, "topk_val": 1},
])
@pytest.mark.parametrize("name", ["quest", "recent", "random"])
def test_reserved_blocks_and_budget_are_those_of_the_point(name: str, changes: dict[str, object]) -> None:
    for lens in (MIXED, [333, 333]):
        World(built_in(name, GEOMETRY), POINT.with_(**changes), list(lens)).check()


@pytest.mark.parametrize("body", [
    "return ops.topk((q.mean(dim=1) * cache['c']).sum(dim=2))",
    "return ops.topk((cache['p'] * q.max(dim=1)).sum(dim=2).max(dim=1))",
    "return ops.topk((q * cache['p']).sum(dim=2).max(dim=1))",
    "return ops.topk((q * cache['c']).sum(dim=2, every=4).max(dim=1).max(dim=2))",
    "return ops.topk(ops.kron(q, cache['p'], dim=1).sum(dim=2)[:, 1:2])",
    "return ops.topk(ops.kron(cache['p'], q, dim=1).sum(dim=2)[:, 1:2])",
    "return ops.topk(ops.maximum(q * cache['hi'], q * cache['lo']).sum(dim=2).max(dim=1))",
    "return ops.topk(ops.maximum(q * cache['lo'], cache['hi'] * q).sum(dim=2).mean(dim=1))",
    "return ops.topk(ops.maximum(q * cache['hi'], q * cache['c']).sum(dim=2).min(dim=1))",
    "return ops.topk(ops.maximum(q * cache['hi'], -q * cache['lo']).sum(dim=2).min(dim=1))",
    "return ops.topk((cache['p'] @ q.T).max(dim=1).max(dim=2))",
    "return ops.topk((q @ cache['p'].T).max(dim=1)[..., 1:2])",
    "return ops.topk((cache['c'] @ cache['hi'].T) * 0.5 + ops.position())",
    "s = q.mean(dim=1) @ cache['c'].T\nreturn ops.topk(ops.softmax(s) - s.mean(dim=0))",
    "s = ops.normalize(q.mean(dim=1) @ cache['c'].T)\nreturn ops.topk(ops.conv(s, [0.5, 0.5]) * s.max(dim=0))",
    "return ops.topk(ops.where(ops.random() > 0.5, ops.position(), 0.0))",
    "return ops.topk((q.mean(dim=1) @ cache['c'].T).log())",              # NaN below zero
    "return ops.topk((q.mean(dim=1) @ cache['c'].T) * 0.0)",              # all equal
])
def test_lowered_patterns_and_their_neighbours_mean_what_the_ops_mean(body: str) -> None:
    graph = written(body, GEOMETRY)
    for lens, scattered in (([200, 200, 200], False), (MIXED, True)):
        World(graph, POINT, list(lens), scattered=scattered).check()


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_lengths_group_and_point_equal_the_reference(data: st.DataObject) -> None:
    size = data.draw(st.sampled_from([16, 32, 64]), label="block size")
    name = data.draw(st.sampled_from(names()))
    geometry = geometry_of(name, size, data.draw(st.sampled_from([1, 2, 4, 5, 7, 8, 16]), label="group"))
    point = OperatingPoint(
        block_size=size, topk_val=data.draw(st.integers(0, 4)),
        topk_ratio=data.draw(st.sampled_from([0.0, 0.125, 0.5])),
        block_reserved_bos=data.draw(st.integers(0, 2)), block_reserved_eos=data.draw(st.integers(1, 3)))
    lens = data.draw(st.lists(st.integers(1, 12 * size), min_size=1, max_size=3), label="lens")
    if data.draw(st.booleans(), label="all equal"):
        lens = lens[:1] * len(lens)
    world = World(built_in(name, geometry), point, lens, heads=2 if name in CALIBRATED else data.draw(st.integers(1, 3)),
                  scattered=data.draw(st.booleans(), label="scattered"), page=data.draw(st.sampled_from([1, 2, 4])),
                  seed=data.draw(st.integers(0, 99)))
    world.check()
    world.grow()
    world.check()


def test_lists_that_differ_in_length_between_heads_are_attended_each_to_its_end() -> None:
    world = World(built_in("centroid", GEOMETRY), POINT, [200, 170])
    plan, q = world.plan(), torch.randn(2, 2, 2, 32)
    rows = [[[0, 12], [0, 3, 4, 12]], [[10], [0, 1, 10]]]
    counts = torch.tensor([[len(r) for r in heads] for heads in rows])
    index = torch.zeros(2, 2, 4, dtype=torch.int64)
    for b, heads in enumerate(rows):
        for h, blocks in enumerate(heads):
            index[b, h, :len(blocks)] = torch.tensor(blocks)
    out = world.program.attend(plan, q, world.k, world.v, Lists(index=index, counts=counts), 32 ** -0.5)
    for b, heads in enumerate(rows):
        for h, blocks in enumerate(heads):
            torch.testing.assert_close(out[b, h], reference.attend(world.row(b, h, q[b, h]), blocks, 16))


def test_the_dense_graph_takes_every_block_whatever_the_budget() -> None:
    program = CpuProgram(dense_graph(GEOMETRY), POINT)
    plan = program.plan([333], torch.arange(1, 22)[None], [0])
    assert program.fits(plan, 0)
