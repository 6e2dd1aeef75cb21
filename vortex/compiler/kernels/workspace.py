"""The tensors that the kernels of a decode step share, at fixed addresses: a captured CUDA graph finds them again.

Letters of shapes: B requests, H kv heads, R = B * H rows (row = request * H + head), N blocks a request may have,
L entries a list may have, W work items, U rules of the Selection.
"""
import math
from collections.abc import Hashable
from dataclasses import dataclass, field

import torch


@dataclass(frozen=True, kw_only=True)
class WorkShape:
    """What a workspace is made for."""

    requests: int                         # B
    heads: int                            # H
    blocks: int                           # N
    listed: int                           # L: the longest list that a row of at most N blocks can get
    rules: int                            # U
    chunk: int                            # blocks of one work item

    @property
    def rows(self) -> int:
        return self.requests * self.heads

    @property
    def items(self) -> int:
        """W: work items when every row is as long as can be."""
        return self.rows * -(-self.blocks // self.chunk)


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What the host writes before a step; a request of length 0 is not there (graphs are captured for round sizes)."""

    lens: torch.Tensor                    # int32 [B]: tokens, the one being decoded counted
    seeds: torch.Tensor                   # int64 [B]
    tables: torch.Tensor                  # int32 [B, N]: block ids of the pool


@dataclass(frozen=True, kw_only=True)
class Worklist:
    """What the planner writes for layers of one budget, and what their selection kernels fill."""

    shape: WorkShape
    blocks: torch.Tensor                  # int32 [B]: n, blocks of each request
    end: torch.Tensor                     # int32 [R]: n - eos of a row that is scored, else 0
    most: torch.Tensor                    # int32 [U, R]: how many blocks each rule may take beside the reserved ones
    starts: torch.Tensor                  # int32 [R + 1]: first work item of each row; the last entry counts them all
    items: torch.Tensor                   # int32 [W, 2]: (row, first block) of each work item
    counts: torch.Tensor                  # int32 [R]: entries of each list; of rows that fit by the planner, else by selection
    index: torch.Tensor                   # int32 [R, L]: positions within the request, ascending
    scores: torch.Tensor                  # float32 [U, R, N]
    tickets: torch.Tensor                 # int32 [R]: work items of the row that are done; 0 between launches


@dataclass
class Arena:
    """Memory that plans share of which no two run at once: of each name as much as the largest that asked.

    What is held grows by taking new memory: views that were given out before stay what they are. Ints are 0 at first, floats
    whatever they are.
    """

    device: torch.device
    _held: dict[Hashable, torch.Tensor] = field(default_factory=dict)

    def take(self, name: Hashable, shape: tuple[int, ...], dtype: torch.dtype = torch.int32) -> torch.Tensor:
        size, key = math.prod(shape), (name, dtype)
        if key not in self._held or self._held[key].numel() < size:
            make = torch.empty if dtype.is_floating_point else torch.zeros
            self._held[key] = make(size, dtype=dtype, device=self.device)
        return self._held[key][:size].view(shape)

    @property
    def bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self._held.values())


def make_inputs(shape: WorkShape, device: torch.device, arena: Arena | None = None) -> Inputs:
    """With an `arena` tables are in it: what a host writes but seldom is not."""
    return Inputs(lens=torch.zeros(shape.requests, dtype=torch.int32, device=device),
                  seeds=torch.zeros(shape.requests, dtype=torch.int64, device=device),
                  tables=(arena or Arena(device)).take("tables", (shape.requests, shape.blocks)))


def make_worklist(shape: WorkShape, device: torch.device, arena: Arena | None = None, part: Hashable = None) -> Worklist:
    """In an `arena` that of `part`, the budget it is for."""
    arena, rows, rules = arena or Arena(device), shape.rows, max(1, shape.rules)

    def whole(name: str, *size: int) -> torch.Tensor:
        return arena.take((part, name), size)

    return Worklist(shape=shape, blocks=whole("blocks", shape.requests), end=whole("end", rows), most=whole("most", rules, rows),
                    starts=whole("starts", rows + 1), items=whole("items", max(1, shape.items), 2), counts=whole("counts", rows),
                    index=whole("index", rows, shape.listed), tickets=whole("tickets", rows),
                    scores=arena.take("scores", (rules, rows, shape.blocks), torch.float32))
