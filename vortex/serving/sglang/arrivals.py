"""Requests whose keys and values came from elsewhere: pages that no step of this engine wrote have no summaries yet.

So it is where prefill and decode are disaggregated: pages are transferred from another server, or restored from the host.
"""
from collections.abc import Sequence

import torch


class Arrivals:
    """Who joins the decode batch: a request that was not in the step before may bring pages that were written elsewhere."""

    def __init__(self) -> None:
        self._last: frozenset[str] = frozenset()

    def strangers(self, names: Sequence[str]) -> list[int]:
        """Rows of this step's batch that were not in the last one's."""
        found = [row for row, name in enumerate(names) if name not in self._last]
        self._last = frozenset(names)
        return found


def complete_blocks(tables: torch.Tensor, lens: Sequence[int], size: int, rows: Sequence[int]) -> torch.Tensor:
    """Ids int64 [M] of the blocks that were complete before this step's token, of `rows` of `tables` [B, N]."""
    return torch.cat([tables[row, :(lens[row] - 1) // size] for row in rows]) if rows else tables.new_zeros(0)
