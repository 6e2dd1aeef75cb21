"""The paged pool: K, V, summaries and state of every layer, and the allocator that keeps a request's blocks together.

Letters of shapes as in vortex/compiler/program.py. Block 0 belongs to nobody: tables are padded with it.
"""
import bisect
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch

from vortex.compiler.cpu import DTYPES
from vortex.config import OperatingPoint
from vortex.ir import Field, Graph
from vortex.language.parameters import without_data

Tensors = list[dict[str, torch.Tensor]]   # by layer and name


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


@dataclass(frozen=True, kw_only=True)
class Furnishing:
    """The summaries and state that a flow keeps in `layers`; a field is of the point's dtype where `dtypes` has none."""

    graph: Graph
    point: OperatingPoint
    layers: frozenset[int]
    dtypes: Mapping[str, torch.dtype] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, frozenset[int]]:
        return without_data(self.graph).to_json(), self.point.dtype, self.layers

    def make(self, shape: PoolShape, wanted: Iterable[Field]) -> Tensors:
        """Tensors for the fields `wanted`, by layer; none in layers that keep none."""
        chosen = tuple(wanted)
        return [{f.name: self._tensor(shape, f) for f in chosen if layer in self.layers} for layer in range(shape.layers)]

    def _tensor(self, shape: PoolShape, wanted: Field) -> torch.Tensor:
        size = (shape.kv_heads, shape.blocks, wanted.rows, wanted.cols)
        # Nothing is read of a block before it completes, and zeros are not written to memory before they are needed.
        return torch.zeros(size, dtype=self.dtypes.get(wanted.name, DTYPES[self.point.dtype]), device=shape.device)


class Pool:
    """Tensors by layer: k, v [H, P, S, D]; fields and state by name [H, P, rows, cols], where a layer has any.

    Remembers what the last `flows` flows kept, so that captured steps of each find their tensors again.
    """

    def __init__(self, shape: PoolShape, flows: int = 0) -> None:
        self.shape = shape
        size = (shape.kv_heads, shape.blocks, shape.block_size, shape.head_dim)
        self.k = [torch.zeros(size, dtype=shape.dtype, device=shape.device) for _ in range(shape.layers)]
        self.v = [torch.zeros(size, dtype=shape.dtype, device=shape.device) for _ in range(shape.layers)]
        self.fields: Tensors = [{} for _ in range(shape.layers)]
        self.state: Tensors = [{} for _ in range(shape.layers)]
        self._flows = flows
        self._known: OrderedDict[object, tuple[Tensors, Tensors]] = OrderedDict()     # longest unused first

    def furnish(self, wanted: Furnishing) -> bool:
        """Summaries and state for a flow: those it had, with the numbers they had, else fresh ones. Had it any?"""
        known = self._known.get(wanted.key)
        if known is not None:
            self._known.move_to_end(wanted.key)
            self.fields, self.state = known
            return True
        self.fields = self.state = []
        while self._known and len(self._known) >= self._flows:
            self._known.popitem(last=False)
        self.fields = wanted.make(self.shape, wanted.graph.summaries)
        self.state = wanted.make(self.shape, wanted.graph.states)
        if self._flows:
            self._known[wanted.key] = self.fields, self.state
        return False

    def reset_state(self, graph: Graph) -> None:
        """State as on blocks that were just completed."""
        for fields, state in zip(self.fields, self.state, strict=True):
            for name, tensor in state.items():
                first = graph.field(name).first
                if isinstance(first, str):
                    tensor.copy_(fields[first])
                else:
                    tensor.fill_(first)


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

