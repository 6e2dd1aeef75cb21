"""A flow in service: its Program, the pages it reads, the summaries it keeps; and one decode step of it, made anew each time.

Nothing here knows SGLang: tensors come in as the Program takes them. Letters of shapes as in vortex/compiler/program.py.
"""
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from vortex.compiler.program import Lists, Plan, Program
from vortex.config import OperatingPoint
from vortex.ir import Graph
from vortex.serving.layers import Layers
from vortex.serving.recording import Moment, Recorder
from vortex.serving.sglang.counters import Counters
from vortex.serving.sglang.dense_rule import DenseRule
from vortex.serving.sglang.pools import Pages, Summaries, rebuild


@dataclass(frozen=True, kw_only=True)
class Served:
    """What is served until the next swap."""

    graph: Graph
    point: OperatingPoint
    program: Program
    layers: Layers
    pages: Pages
    summaries: Summaries
    rule: DenseRule

    def summarise(self, layer: int, done: torch.Tensor) -> None:
        """Writes the summaries of the blocks that this step completes, `done` int64 [M], in a layer that keeps any."""
        if layer in self.layers.select and done.numel():
            self.program.update(self.summaries.fields[layer], self.summaries.state[layer], self.pages.k(layer),
                                self.pages.v(layer), done, layer)

    def rebuild(self, blocks: torch.Tensor) -> None:
        """Writes summaries anew from the pages, int64 [M]."""
        rebuild(self.program, self.pages, self.summaries, blocks)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The requests of a decode step as the host knows them."""

    names: tuple[str, ...]
    lens: tuple[int, ...]                 # tokens, the one being decoded counted
    tables: torch.Tensor                  # int64 [B, N], 0 beyond a request's blocks
    seeds: tuple[int, ...]


@dataclass(kw_only=True)
class DecodeStep:
    """One step of all layers; dense ones are the engine's."""

    served: Served
    batch: Batch
    recorder: Recorder | None = None
    counters: Counters | None = None
    plan: Plan = field(init=False)
    dense: bool = field(init=False)       # the whole step, by the rule; summaries are written all the same
    _selected: Lists | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        served, batch = self.served, self.batch
        self.plan = served.program.plan(batch.lens, batch.tables, batch.seeds)
        self.dense = served.rule.dense(batch.lens)
        if self.counters is not None:
            self.counters.step(self.dense)

    def sparse(self, layer: int) -> bool:
        """Is this layer's attention ours?"""
        return not self.dense and (layer in self.served.layers.select or layer in self.served.layers.reuse)

    def attend(self, layer: int, q: torch.Tensor, scale: float) -> torch.Tensor:
        """[B, H, G, D] of q alike; keys and values of this step are in the pages, and summaries are up to date."""
        served = self.served
        k, v = served.pages.k(layer), served.pages.v(layer)
        lists = self._lists(layer, q, k, v)
        self.note(layer, q, lists)
        if self.counters is not None:
            self.counters.layer(self.plan.blocks, q.shape[1], None if lists is None else lists.counts)
        return served.program.attend(self.plan, q, k, v, lists, scale)

    def note(self, layer: int, q: torch.Tensor, lists: Lists | None = None) -> None:
        """For the recorder, if there is one; lists None: everything is attended."""
        if self.recorder is not None:
            pages = self.served.pages
            self.recorder.note(Moment(layer=layer, requests=self.batch.names, plan=self.plan, q=q, k=pages.k(layer),
                                      v=pages.v(layer), lists=lists, dense=self.dense))

    def _lists(self, layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> Lists | None:
        served = self.served
        if layer in served.layers.select:
            whole = not served.rule.lists_whole_rows and served.program.fits(self.plan, layer)
            fields, state = served.summaries.fields[layer], served.summaries.state[layer]
            self._selected = None if whole else served.program.select(self.plan, q, k, v, fields, state, layer)
        return self._selected


def completed(slots: torch.Tensor, size: int) -> torch.Tensor:
    """Ids int64 [M] of the blocks whose last token is among `slots`: a block is written front to back."""
    return slots[slots % size == size - 1] // size


def completed_by_slot(slots: torch.Tensor, size: int) -> torch.Tensor:
    """As `completed`, int64 [slots], -1 for a slot that completes none: nobody waits to hear how many there are."""
    return torch.where((slots % size == size - 1) & (slots > 0), slots // size, -1)


def block_tables(slots_by_position: torch.Tensor, lens: Sequence[int], size: int) -> torch.Tensor:
    """int64 [B, N] from SGLang's table of slots [B, >= longest]: the first slot of a block tells where it lies."""
    device = slots_by_position.device
    tables = slots_by_position[:, :max(lens):size].long() // size
    blocks = torch.tensor([-(-length // size) for length in lens], device=device)
    return tables.masked_fill(torch.arange(tables.shape[1], device=device) >= blocks[:, None], 0)
