"""SGLang's memory as a flow meets it: tokens by slot, pages handed out in any order, a table of slots by request."""
import math
from dataclasses import dataclass, field

import torch

from tests.compiler.world import assert_same_blocks
from vortex.compiler import reference
from vortex.compiler.cpu import CpuProgram
from vortex.compiler.selection import rules
from vortex.config import OperatingPoint
from vortex.ir import Graph
from vortex.serving.layers import Layers
from vortex.serving.recording import Recorder
from vortex.serving.sglang.dense_rule import NEVER, DenseRule
from vortex.serving.sglang.pools import Pages, SummaryShape
from vortex.serving.sglang.served import Batch, DecodeStep, Served, block_tables, completed


@dataclass
class Pool:
    """Requests of `lens` tokens, prefilled; `page` blocks a page."""

    graph: Graph
    point: OperatingPoint
    lens: list[int]
    heads: int = 2
    page: int = 1
    layers: Layers = field(default_factory=lambda: Layers(select=frozenset({0, 1})))
    rule: DenseRule = NEVER
    spare: int = 40                       # tokens each request may still grow by
    last: dict[tuple[int, int, int], reference.Outcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = torch.Generator().manual_seed(sum(self.lens))
        geometry, tokens = self.graph.geometry, self.page * self.point.block_size
        self.heads = 1 if geometry.latent else self.heads
        pages = [-(-(length + self.spare) // tokens) for length in self.lens]
        ids = (torch.randperm(sum(pages), generator=self.random) + 1).split(pages)
        slots = [(own[:, None] * tokens + torch.arange(tokens)).flatten() for own in ids]
        self.slots = torch.nn.utils.rnn.pad_sequence(slots, batch_first=True)
        size = (sum(pages) + 1) * tokens + 3                              # no whole number of pages
        count = max(self.layers.select | self.layers.reuse) + 1
        self.keys, self.values = ([torch.randn(size, self.heads, geometry.head_dim, generator=self.random)
                                   for _ in range(count)] for _ in "kv")
        self.served = self._served()
        for layer in self.layers.select:
            self.served.summarise(layer, self._done(*(own[:length] for own, length in zip(slots, self.lens, strict=True))))

    def _served(self) -> Served:
        pages = Pages(keys=self.keys.__getitem__, values=self.values.__getitem__, block_size=self.point.block_size,
                      latent=self.graph.geometry.latent)
        shape = SummaryShape(heads=self.heads, blocks=pages.k(0).shape[1], layers=self.layers.select)
        summaries = shape.make(self.graph, self.point, torch.device("cpu"))
        summaries.wipe()
        return Served(graph=self.graph, point=self.point, program=CpuProgram(self.graph, self.point), layers=self.layers,
                      pages=pages, summaries=summaries, rule=self.rule)

    def _done(self, *slots: torch.Tensor) -> torch.Tensor:
        return completed(torch.cat(slots), self.point.block_size)

    def grow(self) -> None:
        """One more token a request; what completes a block is summarised as the backend does it, layer by layer."""
        new = torch.stack([self.slots[row, length] for row, length in enumerate(self.lens)])
        self.lens = [length + 1 for length in self.lens]
        for layer in self.layers.select:
            self.served.summarise(layer, self._done(new))

    def step(self, recorder: Recorder | None = None) -> DecodeStep:
        size = self.point.block_size
        batch = Batch(names=tuple(map(str, range(len(self.lens)))), lens=tuple(self.lens),
                      seeds=tuple(row * 5 - 2 for row in range(len(self.lens))),
                      tables=block_tables(self.slots.to(torch.int32), self.lens, size))
        return DecodeStep(served=self.served, batch=batch, recorder=recorder)

    def query(self) -> torch.Tensor:
        geometry = self.graph.geometry
        return torch.randn(len(self.lens), self.heads, geometry.group, geometry.head_dim, generator=self.random)

    def check(self) -> None:
        """A step of the layers that select: lists and attention are the reference's on each request's own tokens."""
        recorder, scale = Recorder("selections"), 1 / math.sqrt(self.graph.geometry.head_dim)
        step = self.step(recorder)
        for layer in sorted(self.layers.select):
            q = self.query()
            out = step.attend(layer, q, scale)
            for row, lists in enumerate(recorder.recording.events[-1]["lists"]):
                for head, taken in enumerate(lists):
                    asked, key = self._row(layer, row, head, q), (layer, row, head)
                    last = self.last.get(key)
                    right = reference.run(self.graph, self.point, asked, last.state if last else None, last=last)
                    assert_same_blocks(taken, right, rules(self.graph), self.point.block_reserved_bos)
                    attended = reference.attend(asked, taken, self.point.block_size)
                    torch.testing.assert_close(out[row, head], attended, rtol=1e-4, atol=1e-5)
                    self.last[key] = right

    def _row(self, layer: int, row: int, head: int, q: torch.Tensor) -> reference.Row:
        own, geometry = self.slots[row, :self.lens[row]], self.graph.geometry
        k = self.keys[layer][own, head]
        v = k[:, :geometry.kv_lora_rank] if geometry.latent else self.values[layer][own, head]
        return reference.Row(q=q[row, head], k=k, v=v, layer=layer, head=head, seed=row * 5 - 2)
