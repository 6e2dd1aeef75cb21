"""The tensors that the kernels of a decode step share, at fixed addresses: a captured CUDA graph finds them again.

Letters of shapes: B requests, H kv heads, R = B * H rows (row = request * H + head), N blocks a request may have,
L entries a list may have, W work items, U rules of the Selection.
"""
from dataclasses import dataclass

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


def make_inputs(shape: WorkShape, device: torch.device) -> Inputs:
    return Inputs(lens=torch.zeros(shape.requests, dtype=torch.int32, device=device),
                  seeds=torch.zeros(shape.requests, dtype=torch.int64, device=device),
                  tables=torch.zeros(shape.requests, shape.blocks, dtype=torch.int32, device=device))


def make_worklist(shape: WorkShape, device: torch.device) -> Worklist:
    def whole(*size: int) -> torch.Tensor:
        return torch.zeros(size, dtype=torch.int32, device=device)

    return Worklist(shape=shape, blocks=whole(shape.requests), end=whole(shape.rows), most=whole(max(1, shape.rules), shape.rows),
                    starts=whole(shape.rows + 1), items=whole(max(1, shape.items), 2), counts=whole(shape.rows),
                    index=whole(shape.rows, shape.listed), tickets=whole(shape.rows),
                    scores=torch.zeros(max(1, shape.rules), shape.rows, shape.blocks, device=device))
