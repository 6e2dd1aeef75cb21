"""What the order of float operations can do to a selection: an engine and the reference may exchange blocks by that alone."""
from collections.abc import Collection
from dataclasses import replace

import torch

from vortex.budget import num_blocks
from vortex.compiler import reference
from vortex.compiler.selection import rules
from vortex.config import OperatingPoint
from vortex.ir import Graph

_DRAWS = 16                  # scores that are all but equal change places in every second one
_FURTHER = 4.0               # than rounding goes


def exchanged_by_rounding(graph: Graph, point: OperatingPoint, row: reference.Row, last: reference.Outcome | None,
                          right: reference.Outcome, taken: Collection[int], slack: float) -> bool:
    """True where the reference itself exchanges every block that `taken` exchanges, once K, V and state are off by about
    `slack`, as a share.

    What is asked is which blocks change places, never how close two scores are: a flow may write scores of any size, add
    to all of them or to one, and by that alone no block changes its place.
    """
    found = rules(graph)
    counted = len(found) == 1 and found[0].op == "topk"          # how many are taken is not for scores to say
    if not right.scores or (counted and len(taken) != len(right.blocks)):
        return False
    open_blocks = set(taken) ^ set(right.blocks)
    for draw in range(_DRAWS):
        shake = _Shake(_FURTHER * slack, point.block_size, draw)
        state = None if last is None else {name: shake.blocks(value) for name, value in last.state.items()}
        shaken = reference.run(graph, point, replace(row, k=shake.tokens(row.k), v=shake.tokens(row.v)), state, last=last)
        open_blocks -= set(shaken.blocks) ^ set(right.blocks)
        if not open_blocks:
            return True
    return False


class _Shake:
    """Every channel of every block is off by up to a share."""

    def __init__(self, share: float, block_size: int, draw: int) -> None:
        self._share, self._size = share, block_size
        self._draws = torch.Generator().manual_seed(draw)

    def blocks(self, values: torch.Tensor) -> torch.Tensor:
        """[blocks, ...]"""
        return values * (1 + self._share * (2 * torch.rand(values.shape, generator=self._draws) - 1))

    def tokens(self, values: torch.Tensor) -> torch.Tensor:
        """[tokens, channels]; those of a block go the same way, as a mean would undo it."""
        blocks = self.blocks(torch.ones(num_blocks(len(values), self._size), values.shape[1]))
        return values * blocks.repeat_interleave(self._size, dim=0)[:len(values)]
