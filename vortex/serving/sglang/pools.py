"""SGLang's KV pool as Programs read it, and the summaries that belong to its blocks.

SGLang keeps tokens in slots, a page's side by side, so that slot // block_size counts blocks through all pages. Letters of
shapes as in vortex/compiler/program.py. Block 0 is in SGLang's padding page: nobody's.
"""
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from vortex.compiler.cpu import DTYPES
from vortex.compiler.program import Program
from vortex.config import OperatingPoint
from vortex.errors import EngineError
from vortex.ir import Field, Graph

REBUILT_AT_ONCE = 8192                    # blocks: bounds the copies
Buffers = Callable[[int], torch.Tensor]   # of a layer: [slots, H, D], or [pages, H, page, D]
Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Pages:
    """Views of SGLang's buffers, by layer."""

    keys: Buffers
    values: Buffers
    block_size: int
    latent: bool = False

    def k(self, layer: int) -> torch.Tensor:
        """[H, P, S, D]."""
        return as_blocks(self.keys(layer), self.block_size)

    def v(self, layer: int) -> torch.Tensor:
        """[H, P, S, D]; with latent attention the pool of k, which nobody reads."""
        return self.k(layer) if self.latent else as_blocks(self.values(layer), self.block_size)


def as_blocks(buffer: torch.Tensor, size: int) -> torch.Tensor:
    """A view [H, P, S, D] of [slots, H, D]; of [pages, H, page, D] where a page is one block. Raises EngineError elsewhere."""
    if buffer.dim() == 4:
        if buffer.shape[2] != size:
            raise EngineError(f"pages by head (SGLANG_USE_HND_KVCACHE) hold {buffer.shape[2]} tokens, and blocks {size}",
                              hint="Leave SGLANG_USE_HND_KVCACHE unset, or let a page be one block.")
        return buffer.transpose(0, 1)
    slots, heads, channels = buffer.shape
    return buffer[:slots // size * size].view(-1, size, heads, channels).permute(2, 0, 1, 3)


@dataclass(frozen=True, kw_only=True)
class Summaries:
    """Fields and state of the layers that select, for every block of the pool; what a block holds is valid once it completes."""

    fields: Mapping[int, Tensors]
    state: Mapping[int, Tensors]

    @property
    def bytes(self) -> int:
        return sum(tensor.nbytes for by_layer in (self.fields, self.state) for named in by_layer.values()
                   for tensor in named.values())

    def wipe(self) -> None:
        """Forgets all of them: floats become NaN, so that what is read without having been written shows."""
        for by_layer in (self.fields, self.state):
            for named in by_layer.values():
                for tensor in named.values():
                    tensor.fill_(float("nan"))


@dataclass(frozen=True, kw_only=True)
class SummaryShape:
    """What summaries are made for."""

    heads: int                            # kv heads of this rank
    blocks: int
    layers: frozenset[int]
    dtypes: Mapping[str, torch.dtype] = field(default_factory=dict)       # a Program's own; else the point's

    def bytes(self, graph: Graph, point: OperatingPoint) -> int:
        """Of what `make` would allocate."""
        return len(self.layers) * self.heads * self.blocks * sum(
            wanted.rows * wanted.cols * self._dtype(wanted, point).itemsize for wanted in graph.fields)

    def make(self, graph: Graph, point: OperatingPoint, device: torch.device) -> Summaries:
        def tensors(wanted: tuple[Field, ...]) -> dict[int, Tensors]:
            return {layer: {f.name: torch.zeros(self.heads, self.blocks, f.rows, f.cols, dtype=self._dtype(f, point),
                                                device=device) for f in wanted} for layer in sorted(self.layers)}

        return Summaries(fields=tensors(tuple(graph.summaries)), state=tensors(tuple(graph.states)))

    def _dtype(self, wanted: Field, point: OperatingPoint) -> torch.dtype:
        return self.dtypes.get(wanted.name, DTYPES[point.dtype])


def rebuild(program: Program, pages: Pages, summaries: Summaries, blocks: torch.Tensor) -> None:
    """Writes the summaries of `blocks` (ids int64 [M]) anew from their keys and values; their state begins anew."""
    for layer in summaries.fields:
        for some in torch.split(blocks, REBUILT_AT_ONCE):
            program.update(summaries.fields[layer], summaries.state[layer], pages.k(layer), pages.v(layer), some, layer)
