"""Every built-in flow as kernels equals the one-row reference: lists, attention, summaries and state, over steps."""
import pytest

from tests.compiler.kernels.numerics import KernelWorld, geometry_of
from tests.compiler.world import built_in
from vortex.config import OperatingPoint
from vortex.flows import LATENT, names, read, settings

POINT = OperatingPoint(topk_val=2, topk_ratio=0.25)
LENS = [1, 111]               # attended whole, beside one that is scored; 112 tokens complete a block


@pytest.mark.parametrize("name", names())
def test_built_in_flow_equals_the_reference_from_step_to_step(name: str) -> None:
    point = POINT.with_(**settings(read(name)[2]))
    graph = built_in(name, geometry_of(name, group=3 if name in LATENT else 2))
    world = KernelWorld(graph, point, list(LENS), heads=1 if name in LATENT else 2)
    for _ in range(2):
        world.check()
        world.grow()
