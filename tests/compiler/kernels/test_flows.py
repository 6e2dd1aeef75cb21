"""Every built-in flow as kernels equals the one-row reference: lists, attention, summaries and state, over steps."""
import pytest

from tests.compiler.kernels.numerics import KernelWorld, geometry_of
from tests.compiler.world import built_in
from vortex.config import OperatingPoint
from vortex.flows import names, read, settings

POINT = OperatingPoint(topk_val=2, topk_ratio=0.25)
LENS = [1, 79, 207]           # attended whole, beside two that are scored; 80 and 208 tokens complete a block


@pytest.mark.parametrize("name", names())
def test_built_in_flow_equals_the_reference_from_step_to_step(name: str) -> None:
    point = POINT.with_(**settings(read(name)[2]))
    world = KernelWorld(built_in(name, geometry_of(name, group=3 if "mla" in name else 2)), point, list(LENS))
    for _ in range(2):
        world.check()
        world.grow()
