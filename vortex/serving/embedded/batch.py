"""Requests that decode together, and where their blocks lie."""
from collections.abc import Sequence

import torch


class Batch:
    """Made when the company changes, not every step. `begins` are the lengths at their first decode steps."""

    def __init__(self, ids: Sequence[str], seeds: Sequence[int], blocks: Sequence[Sequence[int]], begins: Sequence[int],
                 device: torch.device) -> None:
        self.ids = tuple(ids)
        self.seeds = tuple(seeds)
        self.blocks = tuple(blocks)
        self.begins = tuple(begins)
        widest = max(len(own) for own in blocks)
        self.whole = torch.tensor([[*own, *[0] * (widest - len(own))] for own in blocks], device=device)

    def tables(self, counts: Sequence[int]) -> torch.Tensor:
        """int64 [B, N]: the first `counts` blocks of each request, 0 beyond."""
        tables = self.whole[:, :max(counts)]
        if min(counts) == max(counts):
            return tables
        ends = torch.tensor(counts, device=tables.device)[:, None]
        return tables.masked_fill(torch.arange(tables.shape[1], device=tables.device) >= ends, 0)

    def slots(self, lens: Sequence[int], size: int) -> list[int]:
        """Where each request's token at `lens` - 1 lies in a pool of blocks of `size` tokens."""
        return [own[(length - 1) // size] * size + (length - 1) % size
                for own, length in zip(self.blocks, lens, strict=True)]

    def completed(self, lens: Sequence[int], size: int) -> list[int]:
        """The block that each request's token at `lens` - 1 completes, -1 where it completes none."""
        return [own[length // size - 1] if length % size == 0 else -1
                for own, length in zip(self.blocks, lens, strict=True)]
