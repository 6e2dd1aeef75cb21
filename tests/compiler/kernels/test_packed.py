"""Summaries that fp8 holds without loss are kept as fp8, and read back as what they are."""
from collections.abc import Sequence

import pytest
import torch

from tests.compiler.kernels.numerics import KernelWorld
from vortex.compiler.front import load
from vortex.config import OperatingPoint
from vortex.ir import Geometry

FLOW = """from vortex import ops, register, vFlow


@register("packed")
class Packed(vFlow):
    def forward_cache(self, cache):
        cache["keys"] = cache["k"].quantize("{format}")

    def forward_indexer(self, q, cache):
        return ops.topk((q @ cache["keys"].T).max(dim=2).max(dim=1))
"""


class PackedWorld(KernelWorld):
    """Pools are of the dtypes that the Program asks for."""

    def _complete(self, blocks: Sequence[int]) -> None:
        for name, pool in self.fields.items():
            if pool.dtype != self.program.field_dtype(name):  # type: ignore[attr-defined]  # a Program of kernels has one
                self.fields[name] = torch.full(pool.shape, torch.nan, device=pool.device).to(
                    self.program.field_dtype(name))  # type: ignore[attr-defined]
        super()._complete(blocks)


@pytest.mark.parametrize(("format_", "dtype"), [("fp8", torch.float8_e4m3fn), ("fp8_e5m2", torch.float8_e5m2)])
@pytest.mark.parametrize("rest", ["float32", "bfloat16"])
def test_packed_summaries_select_alike(format_: str, dtype: torch.dtype, rest: str) -> None:
    graph = load(FLOW.replace("{format}", format_), "packed.py", Geometry(16, 32, 2))
    world = PackedWorld(graph, OperatingPoint(topk_val=2, topk_ratio=0.25, dtype=rest), [3, 97, 200])  # type: ignore[arg-type]
    assert world.fields["keys"].dtype == dtype
    world.check()
    world.grow()
    world.check()
