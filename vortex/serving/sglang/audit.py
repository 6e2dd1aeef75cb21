"""An audit of a running engine: after each decode step, what is kept of every complete block of every request in it must be
what its keys and values give. For tests and for doubt: it doubles the work of a step and more.
"""
from dataclasses import dataclass, field
from functools import partial

import torch

from vortex.serving.sglang.pools import Summaries
from vortex.serving.sglang.served import Served

AT_ONCE = 1024                            # blocks: bounds the copies


@dataclass(kw_only=True)
class Audit:
    """`begun` before each step of any kind, `check` after each decode step; counts of (block, layer, field), all kv heads."""

    device: torch.device
    _counts: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        self._counts = torch.zeros(3, dtype=torch.int64, device=self.device)

    def begun(self, served: Served, slots: torch.Tensor) -> None:
        """Makes the summaries of blocks whose first token is among `slots` NaN: one that nobody writes then shows."""
        size = served.point.block_size
        blocks = slots[(slots % size == 0) & (slots > 0)] // size
        for named in served.summaries.fields.values():
            for tensor in named.values():
                tensor.index_fill_(1, blocks, float("nan"))

    def check(self, served: Served, slots: torch.Tensor, lens: torch.Tensor) -> None:
        """Requests' slots by position, [B, >= longest]; tokens int64 [B], the decoded one counted."""
        for some in torch.split(complete(slots, lens, served.point.block_size), AT_ONCE):
            for layer in served.layers.select:
                self._compare(served, layer, some)

    def told(self) -> dict[str, int]:
        """Waits for the device. `missing`: never written since the block was begun; `different`: not what the pages give."""
        audited, missing, different = self._counts.tolist()
        return {"audited": audited, "missing": missing, "different": different}

    def _compare(self, served: Served, layer: int, blocks: torch.Tensor) -> None:
        kept = served.summaries.fields[layer]
        for name, right in recomputed(served, layer, blocks).items():
            found = kept[name].index_select(1, blocks)
            same = ((found == right) | (found.isnan() & right.isnan())).flatten(2).all(2).all(0)
            unwritten = ~same & found.isnan().flatten(2).all(2).any(0)
            self._counts += torch.stack([same.new_ones(same.shape).sum(), unwritten.sum(), (~same & ~unwritten).sum()])


def complete(slots: torch.Tensor, lens: torch.Tensor, size: int) -> torch.Tensor:
    """Ids int64 [M] of the blocks that requests fill, each once."""
    firsts = slots[:, :int(lens.max()):size].long() // size if lens.numel() else slots.new_zeros(0, 0).long()
    whole = torch.arange(firsts.shape[1], device=slots.device) < (lens[:, None] // size).to(slots.device)
    return torch.unique(firsts[whole])


def recomputed(served: Served, layer: int, blocks: torch.Tensor) -> dict[str, torch.Tensor]:
    """Fields of `blocks`, [H, M, rows, cols] by name, from copies of their keys and values."""
    copied = partial(torch.index_select, dim=1, index=blocks)
    summaries: Summaries = served.summaries
    scratch = [{name: tensor.new_empty(tensor.shape[0], blocks.numel(), *tensor.shape[2:]) for name, tensor in named.items()}
               for named in (summaries.fields[layer], summaries.state[layer])]
    ids = torch.arange(blocks.numel(), device=blocks.device)
    served.program.update(scratch[0], scratch[1], copied(served.pages.k(layer)), copied(served.pages.v(layer)), ids, layer)
    return scratch[0]
