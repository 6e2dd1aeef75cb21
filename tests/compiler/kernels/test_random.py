"""Random Graphs of the whole language as kernels equal the reference, over steps."""
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.compiler.flows import random_flow
from tests.compiler.kernels.numerics import KernelWorld
from tests.compiler.test_random_graphs import check, points
from tests.strategies import HEADS, graphs
from vortex.ir import Graph

# A Graph of the interpreter takes a second or more: making a failing one smaller would take many minutes.
NO_SHRINK = (Phase.explicit, Phase.reuse, Phase.generate)


def judged(graph: Graph, data: st.DataObject, steps: int) -> None:
    size = graph.geometry.block_size
    length = st.one_of(st.integers(1, 8 * size), st.integers(6 * size, 8 * size))
    world = KernelWorld(graph, data.draw(points(size)), data.draw(st.lists(length, min_size=1, max_size=2), label="lens"),
                        heads=HEADS, seed=data.draw(st.integers(0, 99)), whole=True)
    for _ in range(steps):
        check(world)
        world.grow()


@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), phases=NO_SHRINK)
@given(graph=graphs(), data=st.data())
def test_any_graph(graph: Graph, data: st.DataObject) -> None:
    judged(graph, data, steps=2)


@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), phases=NO_SHRINK)
@given(seed=st.integers(0, 10**6), data=st.data())
def test_flows_as_people_write_them(seed: int, data: st.DataObject) -> None:
    judged(random_flow(seed), data, steps=1)
