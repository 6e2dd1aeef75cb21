"""Decode attention over pools of blocks: all blocks of a request read in place, or the listed ones gathered.

A kv head's queries are folded into the query rows ([.., G, D] against [.., T, D]): the fastest form torch has on a CPU.
Listed blocks are gathered request by request: the copies stay in the cache until the product has read them.
"""
from functools import lru_cache

import torch
import torch.nn.functional as functional

from vortex.compiler.layout import CpuPlan, Runs
from vortex.compiler.program import Lists

MANY_RUNS = 8                             # from here on one gather is cheaper than joining views


def request_tokens(pool: torch.Tensor, runs: Runs, length: int) -> torch.Tensor:
    """A request's first `length` tokens [H, length, D]: a view of `pool` [H, P, S, D] where its blocks are one run."""
    heads, _, size, channels = pool.shape
    if len(runs) >= MANY_RUNS:
        ids = torch.cat([torch.arange(start, start + count, device=pool.device) for start, count in runs])
        return pool.index_select(1, ids).view(heads, -1, channels)[:, :length]
    parts = [pool[:, start:start + count].reshape(heads, count * size, channels) for start, count in runs]
    return (parts[0] if len(parts) == 1 else torch.cat(parts, dim=1))[:, :length]


def _batch_tokens(plan: CpuPlan, pool: torch.Tensor) -> torch.Tensor:
    """All requests' tokens as one view [B, H, T, D]; they are of one length and evenly spaced, and `pool` is seamless."""
    assert plan.spacing is not None
    by_head, by_block, by_token, by_channel = pool.stride()
    return pool.as_strided((len(plan.lens), pool.shape[0], plan.lens[0], pool.shape[3]),
                           (plan.spacing * by_block, by_head, by_token, by_channel),
                           pool.storage_offset() + plan.runs[0][0][0] * by_block)


def _seamless(pool: torch.Tensor) -> bool:
    """Does the first token of a block follow on the last one of the block before, as in an engine's pool by tokens too?"""
    return pool.stride(1) == pool.shape[2] * pool.stride(2)


def attend_all(plan: CpuPlan, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float,
               rank: int = 0) -> torch.Tensor:
    """Dense attention, [B, H, G, D]; with a `rank`, values are the first so many channels of `k`."""
    if plan.spacing is not None and _seamless(k) and _seamless(v):
        keys = _batch_tokens(plan, k)
        values = keys[..., :rank] if rank else _batch_tokens(plan, v)
        return functional.scaled_dot_product_attention(q, keys, values, scale=scale)
    rows = []
    for b, (runs, length) in enumerate(zip(plan.runs, plan.lens, strict=True)):
        keys = request_tokens(k, runs, length)
        values = keys[..., :rank] if rank else request_tokens(v, runs, length)
        rows.append(functional.scaled_dot_product_attention(q[b:b + 1], keys[None], values[None], scale=scale))
    return torch.cat(rows)


@lru_cache(maxsize=16)
def _first_rows(heads: int, num_blocks: int, device: torch.device) -> torch.Tensor:
    """Where each head begins in a pool seen as [H*P, S*D]: int64 [H, 1]."""
    return (torch.arange(heads, device=device) * num_blocks)[:, None]


def _gathered(pool: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """A copy of blocks `ids` [H, L] of `pool` [H, P, S, D], each head's own: [1, H, L*S, D]."""
    heads, num_blocks, size, channels = pool.shape
    if pool.is_contiguous():
        flat = (ids + _first_rows(heads, num_blocks, pool.device)).flatten()
        chosen = pool.view(heads * num_blocks, size * channels).index_select(0, flat)
    else:
        chosen = pool[torch.arange(heads, device=pool.device)[:, None], ids]
    return chosen.reshape(1, heads, -1, channels)


def attend_listed(plan: CpuPlan, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, lists: Lists,
                  scale: float, rank: int = 0) -> torch.Tensor:
    """Attention over the listed blocks, as attend_all; the last entry of a list counts only its real tokens."""
    size = k.shape[2]
    batch, heads, _ = lists.index.shape
    ids = plan.tables[:, None].expand(batch, heads, -1).gather(2, lists.index)
    rows = []
    for b, (length, counts) in enumerate(zip(plan.lens, lists.counts.tolist(), strict=True)):
        taken, open_tokens = max(counts), -length % size
        keys = _gathered(k, ids[b, :, :taken])
        values = keys[..., :rank] if rank else _gathered(v, ids[b, :, :taken])
        mask = None
        if min(counts) == taken:
            keys, values = keys[:, :, :taken * size - open_tokens], values[:, :, :taken * size - open_tokens]
        else:
            ends = torch.tensor(counts, device=k.device) * size - open_tokens
            mask = (torch.arange(taken * size, device=k.device) < ends[:, None])[None, :, None]
        rows.append(functional.scaled_dot_product_attention(q[b:b + 1], keys, values, attn_mask=mask, scale=scale))
    return torch.cat(rows)


def block_mass(q: torch.Tensor, keys: torch.Tensor, block_size: int) -> torch.Tensor:
    """Exact softmax mass of each block of one request, mean over the group's heads: float32 [H, n].

    q [H, G, D]; keys [H, T, D] of the whole context; logits are scaled by the square root of D.
    """
    heads, tokens, channels = keys.shape
    weights = torch.softmax(q.float() @ keys.float().transpose(1, 2) * channels ** -0.5, dim=-1).mean(dim=1)
    return functional.pad(weights, (0, -tokens % block_size)).view(heads, -1, block_size).sum(dim=-1)
