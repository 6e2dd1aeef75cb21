"""Requests whose keys and values came from elsewhere: pages that no step of this engine wrote have no summaries yet.

So it is where prefill and decode are disaggregated (pages are transferred) and where pages are loaded back from the host.
"""
from collections import OrderedDict
from collections.abc import Iterable, Sequence

import torch

REMEMBERED = 1 << 16                      # requests: more than any engine has under way


class Arrivals:
    """Remembers by name whose pages were written here, or have been summarised since."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self._known: OrderedDict[str, None] = OrderedDict()
        self._most = most

    def written(self, names: Iterable[str]) -> None:
        """Steps of this engine write the pages of these requests."""
        for name in names:
            self._known[name] = None
            self._known.move_to_end(name)
        while len(self._known) > self._most:
            self._known.popitem(last=False)

    def forget(self) -> None:
        """Nobody's summaries are there any more."""
        self._known.clear()

    def strangers(self, names: Sequence[str]) -> list[int]:
        """Rows of a batch whose pages this engine has not written; they are known from here on."""
        found = [row for row, name in enumerate(names) if name not in self._known]
        self.written(names)
        return found


def complete_blocks(tables: torch.Tensor, lens: Sequence[int], size: int, rows: Sequence[int]) -> torch.Tensor:
    """Ids int64 [M] of the blocks that were complete before this step's token, of `rows` of `tables` [B, N]."""
    return torch.cat([tables[row, :(lens[row] - 1) // size] for row in rows]) if rows else tables.new_zeros(0)
