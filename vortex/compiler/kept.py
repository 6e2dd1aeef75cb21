"""What a row attends between two selections: what it attended at the last one, and every block that is newer.

Letters of shapes as in program.py. The flow is not evaluated between selections, and its state is left alone.
"""
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from vortex.compiler.program import Lists, Plan


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Of each request: `since`, the first block that counts as newer (n - eos of its last selection), and the blocks
    before it that were attended: `index` int64 [B, H, L], 0 beyond `counts` int64 [B, H]; None where all of all were.
    """

    since: tuple[int, ...]
    index: torch.Tensor | None = None
    counts: torch.Tensor | None = None


def keep(plan: Plan, lists: Lists | None, eos: int) -> Kept:
    """What is kept of a selection; `lists` None: every row attended everything."""
    since = tuple(max(0, n - eos) for n in plan.blocks)
    if lists is None:
        return Kept(since=since)
    newer = [n - first for n, first in zip(plan.blocks, since, strict=True)]
    counts = lists.counts - torch.tensor(newer, device=lists.counts.device)[:, None]
    index = lists.index[..., :max(0, lists.index.shape[2] - min(newer))]
    return Kept(since=since, index=index.masked_fill(_beyond(index, counts), 0), counts=counts)


def carry(plan: Plan, kept: Kept) -> Lists | None:
    """What the same requests attend in a later step; None: everything."""
    if kept.index is None or kept.counts is None:
        return None
    device, newer = kept.index.device, [n - first for n, first in zip(plan.blocks, kept.since, strict=True)]
    since, ends = (torch.tensor(values, device=device)[:, None, None] for values in (kept.since, newer))
    before = kept.counts[..., None]
    index = torch.nn.functional.pad(kept.index, (0, max(newer)))
    at = torch.arange(index.shape[2], device=device)
    index = torch.where(at < before, index, since + at - before)
    counts = (before + ends)[..., 0]
    return Lists(index=index.masked_fill(_beyond(index, counts), 0), counts=counts)


def rows(kept: Kept, chosen: Sequence[int]) -> Kept:
    """What is kept of the requests `chosen`, in that order."""
    since = tuple(kept.since[row] for row in chosen)
    if kept.index is None or kept.counts is None:
        return Kept(since=since)
    return Kept(since=since, index=kept.index[list(chosen)], counts=kept.counts[list(chosen)])


def joined(parts: Sequence[Kept]) -> Kept:
    """What is kept of the requests of all parts, one part after the other."""
    since = tuple(first for part in parts for first in part.since)
    listed = next((part.index for part in parts if part.index is not None), None)
    if listed is None:
        return Kept(since=since)
    written = [_written(part, heads=listed.shape[1], device=listed.device) for part in parts]
    widest = max(index.shape[2] for index, _ in written)
    return Kept(since=since, counts=torch.cat([counts for _, counts in written]),
                index=torch.cat([torch.nn.functional.pad(index, (0, widest - index.shape[2])) for index, _ in written]))


def _written(part: Kept, *, heads: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Index and counts, also of rows that attended everything."""
    if part.index is not None and part.counts is not None:
        return part.index, part.counts
    counts = torch.tensor(part.since, device=device)[:, None].expand(-1, heads)
    index = torch.arange(max(part.since), device=device).expand(len(part.since), heads, -1)
    return index.masked_fill(_beyond(index, counts), 0), counts


def _beyond(index: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    return torch.arange(index.shape[2], device=index.device) >= counts[..., None]
