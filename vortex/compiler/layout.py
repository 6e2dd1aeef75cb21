"""Where a batch's blocks lie in the pool: contiguous runs are read as views, evenly spaced requests as one view.

Letters of shapes as in program.py; R: rows of the batch that are scored, M: blocks of each that are scored.
"""
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch

from vortex.compiler.program import Lists, Plan

Runs = tuple[tuple[int, int], ...]        # (first block id, blocks), in order of position


def find_runs(tables: torch.Tensor, blocks: Sequence[int]) -> tuple[Runs, ...]:
    """The contiguous runs of each request; `tables` int64 [B, N]."""
    starts = tables[:, 0].tolist()
    breaks = tables.diff(dim=1) != 1
    if min(blocks) < tables.shape[1]:
        ends = torch.tensor(blocks, device=tables.device)[:, None] - 1
        breaks &= torch.arange(breaks.shape[1], device=tables.device) < ends
    whole = tuple(((start, n),) for start, n in zip(starts, blocks, strict=True))
    if not bool(breaks.any()):
        return whole
    return tuple(_runs_of(tables[row], cuts, n) if (cuts := breaks[row].nonzero().flatten().tolist()) else whole[row]
                 for row, n in enumerate(blocks))


def _runs_of(table: torch.Tensor, cuts: list[int], blocks: int) -> Runs:
    edges = [0, *(cut + 1 for cut in cuts), blocks]
    return tuple((int(table[a]), b - a) for a, b in pairwise(edges))


def find_spacing(runs: Sequence[Runs]) -> int | None:
    """Blocks from one request to the next, where all are single runs of one length, evenly spaced; else None."""
    if any(len(r) > 1 or r[0][1] != runs[0][0][1] for r in runs):
        return None
    starts = [r[0][0] for r in runs]
    gaps = {b - a for a, b in pairwise(starts)}
    if not gaps:
        return 0
    gap = gaps.pop()
    # A view cannot step backwards.
    return gap if not gaps and gap >= 0 else None


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The rows of a batch that need selection, and their blocks 0 .. n-eos."""

    requests: tuple[int, ...]             # rows of the batch, ascending
    blocks: tuple[int, ...]               # n - eos of each
    spacing: int | None                   # one view serves all; None: blocks are gathered
    first: int                            # first block id of the view
    ids: torch.Tensor                     # int64 [R, M]: block ids, 0 beyond a request's
    middle: torch.Tensor                  # bool [R, 1, M, 1, 1]
    position: torch.Tensor                # float32 [1, 1, M, 1, 1]

    def read(self, pool: torch.Tensor) -> torch.Tensor:
        """The blocks of `pool` [H, P, a, b] as [R, H, M, a, b]: a view where they are evenly spaced, else a copy."""
        if self.spacing is not None:
            return self._view(pool)
        heads, _, a, b = pool.shape
        gathered = pool.index_select(1, self.ids.flatten())
        return gathered.view(heads, *self.ids.shape, a, b).transpose(0, 1)

    def write(self, pool: torch.Tensor, value: torch.Tensor, live: Sequence[Sequence[bool]]) -> None:
        """Stores `value`, broadcastable to [R, H, M, a, b], into the requests' blocks of `pool`, where a row is live."""
        heads, _, a, b = pool.shape
        if self.spacing is not None and all(map(all, live)):
            self._view(pool).copy_(value)
            return
        value = value.expand(len(self.requests), heads, self.ids.shape[1], a, b)
        for row, (blocks, own) in enumerate(zip(self.blocks, live, strict=True)):
            ids, saved = self.ids[row, :blocks], value[row, :, :blocks].to(pool.dtype)
            if all(own):
                pool[:, ids] = saved
                continue
            for head in (head for head, scored in enumerate(own) if scored):
                pool[head, ids] = saved[head]

    def _view(self, pool: torch.Tensor) -> torch.Tensor:
        assert self.spacing is not None
        heads, _, a, b = pool.shape
        by_head, by_block, *inner = pool.stride()
        return pool.as_strided((len(self.requests), heads, self.ids.shape[1], a, b),
                               (self.spacing * by_block, by_head, by_block, *inner),
                               pool.storage_offset() + self.first * by_block)


@dataclass(frozen=True, kw_only=True)
class Part:
    """What layers of one budget share. By kv head where the budget is; else one entry stands for all heads."""

    scored: Scored | None                 # None: every row fits
    live: tuple[tuple[bool, ...], ...]    # by scored request and head: is it scored, or does it fit?
    most: tuple[tuple[tuple[int, ...], ...], ...]     # by rule, scored request and head: blocks beside the reserved ones
    known: Lists | None                   # [B, 1, L]: where one list serves all heads, but for what is chosen by score


@dataclass(frozen=True, kw_only=True)
class CpuPlan(Plan):
    """A Plan with what all layers share: runs of blocks, and a Part for each budget that was asked for."""

    runs: tuple[Runs, ...]
    spacing: int | None                   # of the whole batch, where also all lengths are equal
    parts: dict[Hashable, Part] = field(default_factory=dict)


def make_scored(tables: torch.Tensor, runs: Sequence[Runs], blocks: Sequence[int], requests: Sequence[int],
                reserved: tuple[int, int]) -> Scored:
    """`reserved` is (bos, eos); `requests` are the rows that do not fit."""
    bos, eos = reserved
    scored = tuple(blocks[r] - eos for r in requests)
    columns = max(scored)
    index = torch.arange(columns, device=tables.device)
    ends = torch.tensor(scored, device=tables.device)[:, None]
    ids = tables if len(requests) == len(blocks) else tables[list(requests)]
    ids = ids[:, :columns]
    if min(scored) < columns:
        ids = ids.masked_fill(index >= ends, 0)
    middle = (index >= bos) & (index < ends)
    return Scored(
        requests=tuple(requests), blocks=scored, spacing=find_spacing([runs[r] for r in requests]),
        first=runs[requests[0]][0][0], ids=ids, middle=middle[:, None, :, None, None],
        position=index.to(torch.float32)[None, None, :, None, None],
    )
