"""The paged pool: K, V, summaries and state of every layer, and the allocator that keeps a request's blocks together.

Letters of shapes as in vortex/compiler/program.py. Block 0 belongs to nobody: tables are padded with it.
"""
import bisect
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from vortex.config import OperatingPoint
from vortex.ir import Field, Graph

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class PoolShape:
    """What a pool is made for; two pools of one shape can stand for one another."""

    layers: int
    kv_heads: int
    blocks: int
    block_size: int
    head_dim: int
    dtype: torch.dtype
    device: torch.device

    @property
    def block_bytes(self) -> int:
        """K and V of one block over all layers and heads."""
        return 2 * self.layers * self.kv_heads * self.block_size * self.head_dim * self.dtype.itemsize


class Pool:
    """Tensors by layer: k, v [H, P, S, D]; fields and state by name [H, P, rows, cols], where a layer has any."""

    def __init__(self, shape: PoolShape) -> None:
        self.shape = shape
        size = (shape.kv_heads, shape.blocks, shape.block_size, shape.head_dim)
        self.k = [torch.zeros(size, dtype=shape.dtype, device=shape.device) for _ in range(shape.layers)]
        self.v = [torch.zeros(size, dtype=shape.dtype, device=shape.device) for _ in range(shape.layers)]
        self.fields: list[dict[str, torch.Tensor]] = [{} for _ in range(shape.layers)]
        self.state: list[dict[str, torch.Tensor]] = [{} for _ in range(shape.layers)]

    def furnish(self, graph: Graph, point: OperatingPoint, layers: Iterable[int]) -> None:
        """Fresh summaries and state for `graph` in `layers`, and none elsewhere."""
        chosen = set(layers)
        for layer in range(self.shape.layers):
            fields = graph.fields if layer in chosen else ()
            made = {f.name: self._make(f, point) for f in fields}
            states = {f.name for f in graph.states}
            self.fields[layer] = {name: tensor for name, tensor in made.items() if name not in states}
            self.state[layer] = {name: tensor for name, tensor in made.items() if name in states}

    def reset_state(self, graph: Graph) -> None:
        """State as on blocks that were just completed."""
        for fields, state in zip(self.fields, self.state, strict=True):
            for name, tensor in state.items():
                first = graph.field(name).first
                if isinstance(first, str):
                    tensor.copy_(fields[first])
                else:
                    tensor.fill_(first)

    def _make(self, field: Field, point: OperatingPoint) -> torch.Tensor:
        size = (self.shape.kv_heads, self.shape.blocks, field.rows, field.cols)
        # Nothing is read of a block before it completes, and zeros are not written to memory before they are needed.
        return torch.zeros(size, dtype=DTYPES[point.dtype], device=self.shape.device)


class Allocator:
    """Hands out block ids 1 .. blocks-1, one run of neighbours where a hole has room, and counts who holds them."""

    def __init__(self, blocks: int) -> None:
        self._holes: list[tuple[int, int]] = [(1, blocks)] if blocks > 1 else []    # [start, end), ascending
        self._holders = [0] * blocks
        self.free = max(0, blocks - 1)

    def allocate(self, count: int) -> list[int]:
        """`count` <= free ids, held once: the smallest hole that has room, else the largest holes together."""
        assert 0 <= count <= self.free
        taken: list[int] = []
        while len(taken) < count:
            taken.extend(self._carve(count - len(taken)))
        self.free -= count
        for block in taken:
            self._holders[block] = 1
        return taken

    def hold(self, blocks: Iterable[int]) -> None:
        """One more holder for blocks that have one."""
        for block in blocks:
            assert self._holders[block] > 0
            self._holders[block] += 1

    def release(self, blocks: Iterable[int]) -> None:
        """One holder less; a block without holders is free."""
        for block in blocks:
            assert self._holders[block] > 0
            self._holders[block] -= 1
            if not self._holders[block]:
                self._free(block)

    def holders(self, block: int) -> int:
        return self._holders[block]

    def _carve(self, wanted: int) -> range:
        """Up to `wanted` neighbours from the front of one hole."""
        sizes = [(end - start, at) for at, (start, end) in enumerate(self._holes)]
        fitting = [size for size in sizes if size[0] >= wanted]
        _, at = min(fitting) if fitting else max(sizes, key=lambda size: (size[0], -size[1]))
        start, end = self._holes.pop(at)
        cut = min(end, start + wanted)
        if cut < end:
            self._holes.insert(at, (cut, end))
        return range(start, cut)

    def _free(self, block: int) -> None:
        at = bisect.bisect(self._holes, (block, block))
        start, end = block, block + 1
        if at < len(self._holes) and self._holes[at][0] == end:
            end = self._holes.pop(at)[1]
        if at and self._holes[at - 1][1] == start:
            start = self._holes.pop(at - 1)[0]
            at -= 1
        self._holes.insert(at, (start, end))
        self.free += 1

