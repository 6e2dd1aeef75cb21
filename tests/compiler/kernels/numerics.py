"""What the numerics tests of whole Programs share: which Program is tested, where, and memory that is poisoned first."""
import math

import torch

from tests.compiler.world import World
from vortex.compiler.kernels.program import TritonProgram
from vortex.compiler.program import Program
from vortex.config import OperatingPoint
from vortex.flows import CALIBRATED, LATENT
from vortex.ir import Geometry, Graph

ON_GPU = torch.cuda.is_available()
DEVICE = "cuda" if ON_GPU else "cpu"
KV = "bfloat16" if ON_GPU else "float32"


def made(graph: Graph, point: OperatingPoint) -> Program:
    return TritonProgram(graph, point, DEVICE)


class KernelWorld(World):
    """A World whose Program is of kernels: what nobody has written is NaN, and so is what lies behind a request's end."""

    def __init__(self, graph: Graph, point: OperatingPoint, lens: list[int], **more: object) -> None:
        settings: dict[str, object] = {"make": made, "device": DEVICE, "kv": KV, "poison": math.nan, "scattered": True, **more}
        super().__init__(graph, point, lens, **settings)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        super().__post_init__()
        size = self.graph.geometry.block_size
        for own, length in zip(self.blocks, self.lens, strict=True):
            self.poison_tail(own, length, size)

    def poison_tail(self, own: list[int], length: int, size: int) -> None:
        if length % size:
            last = own[length // size]
            self.k[:, last, length % size:], self.v[:, last, length % size:] = math.nan, math.nan
        later = torch.tensor(own[-(-length // size):], dtype=torch.int64)
        self.k[:, later], self.v[:, later] = math.nan, math.nan

    def grow(self) -> None:
        """The token that is added gets numbers before its block is summarised."""
        size = self.graph.geometry.block_size
        for own, length in zip(self.blocks, self.lens, strict=True):
            for pool in (self.k, self.v):
                pool[:, own[length // size], length % size] = self._numbers(self.heads, pool.shape[3])
        super().grow()


def geometry_of(name: str, block_size: int = 16, group: int = 2, head_dim: int = 16) -> Geometry:
    """One that the built-in flow can be traced for."""
    if name in LATENT:
        return Geometry.of_latent(block_size, 16, 8, group)
    return Geometry(block_size, 64 if name in CALIBRATED else head_dim, group)
