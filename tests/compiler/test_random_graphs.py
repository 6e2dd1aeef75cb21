"""The Program equals the reference over random Graphs of the whole language, at random points, over steps.

Numbers are small and whole, so that most float arithmetic is exact. Where it is not, and a Graph turns a last digit into
another block (a comparison, a sign, a gather by score), the reference itself is shaken first: what changes under a shake
of its own input decides nothing.
"""
from dataclasses import replace

import torch
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from tests.compiler.world import LAYER, World
from tests.strategies import HEADS, graphs
from vortex.compiler import reference
from vortex.compiler.selection import rules
from vortex.config import OperatingPoint
from vortex.ir import Graph

SHAKE = 1e-5
VALS = st.sampled_from([0, 1, 2, 3, 40])


@st.composite
def points(draw: st.DrawFn, block_size: int) -> OperatingPoint:
    by_head = st.tuples(*[VALS] * HEADS)
    return OperatingPoint(
        block_size=block_size, topk_val=draw(st.integers(0, 3)), topk_ratio=draw(st.sampled_from([0.0, 0.0, 0.25])),
        block_reserved_bos=draw(st.integers(0, 2)), block_reserved_eos=draw(st.integers(1, 3)),
        topk_layers=draw(st.one_of(st.just(()), st.lists(st.one_of(VALS, by_head), min_size=1, max_size=LAYER + 2))),
        ratio_layers=draw(st.sampled_from([(), (), (), (), (0.5,), ((0.0, 0.25, 0.5, 1.0),)])),
        renew_every=draw(st.sampled_from([1, 1, 2, 3])),
        dtype=draw(st.sampled_from(["float32", "float32", "bfloat16", "float16"])))


def steady(world: World, row: reference.Row, last: reference.Outcome | None) -> bool:
    """Does the reference decide alike when its query, keys and values are shaken a little?"""
    def run(shaken: float) -> reference.Outcome:
        moved = {name: getattr(row, name) * (1 + shaken * torch.randn(getattr(row, name).shape, generator=world.random))
                 for name in ("q", "k")}
        return reference.run(world.graph, world.point, replace(row, **moved), last.state if last else None, last=last)

    one, other = run(0.0), run(SHAKE)
    alike = [torch.allclose(a, b, rtol=1e-3, atol=1e-3, equal_nan=True)
             for a, b in zip((*one.scores, *one.state.values()), (*other.scores, *other.state.values()), strict=True)]
    return all(alike) and one.blocks == other.blocks


def check(world: World) -> None:
    """One step; a row that differs is excused where the reference is not steady, and the example ends."""
    plan, q = world.plan(), world.query()
    lists, before = world.lists(plan, q), dict(world.last)
    event("every row fits" if world.program.fits(plan, LAYER) else " | ".join(sorted(r.op for r in rules(world.graph))))
    try:
        world.judge(plan, q, lists)
    except AssertionError:
        rows = [(world.row(r, h, q[r, h]), before.get((r, h))) for r in range(len(world.lens)) for h in range(HEADS)]
        event("not steady")
        assume(all(steady(world, row, last) for row, last in rows))
        raise


@settings(max_examples=200, deadline=None)
@given(graph=graphs(), data=st.data())
def test_any_graph_selects_attends_and_saves_as_the_reference(graph: Graph, data: st.DataObject) -> None:
    size = graph.geometry.block_size
    length = st.one_of(st.integers(1, 12 * size), st.integers(8 * size, 12 * size))
    lens = data.draw(st.lists(length, min_size=1, max_size=2), label="lens")
    if data.draw(st.booleans(), label="all equal"):
        lens = lens[:1] * len(lens)
    world = World(graph, data.draw(points(size)), lens, heads=HEADS, scattered=data.draw(st.booleans(), label="scattered"),
                  page=data.draw(st.sampled_from([1, 2, 4])), seed=data.draw(st.integers(0, 99)), whole=True)
    for _ in range(data.draw(st.sampled_from([1, 2, 4]), label="steps")):
        check(world)
        world.grow()
