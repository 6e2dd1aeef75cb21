"""From scores to lists: what each rule of a Selection takes, united, in batched torch.

Letters of shapes as in layout.py; a row is a (request, kv head) pair, and a head that fits is dense beside one that
selects.
"""
from collections.abc import Sequence

import torch

from vortex.compiler.layout import CpuPlan, Part, Scored
from vortex.compiler.program import Lists
from vortex.compiler.selection import Rule
from vortex.compiler.topk import best, in_order


def take_uniform(part: Part, scored: Scored, score: torch.Tensor, bos: int) -> Lists:
    """Of one top-k rule at a budget that all heads share: every list's length is known. `score` [R, H, M]."""
    assert part.known is not None
    batch, heads = part.known.index.shape[0], score.shape[1]
    index = part.known.index.repeat(1, heads, 1)
    alike: dict[int, list[int]] = {}
    for row, end in enumerate(scored.blocks):
        alike.setdefault(end, []).append(row)
    for end, rows in alike.items():
        k = part.most[0][rows[0]][0]
        whole = len(rows) == batch
        picks = best((score if whole else score[rows])[..., bos:end], k) + bos
        if whole:
            index[:, :, bos:bos + k] = picks
        else:
            index[[scored.requests[row] for row in rows], :, bos:bos + k] = picks
    return Lists(index=index, counts=part.known.counts.expand(batch, heads))


def take_any(plan: CpuPlan, part: Part, scored: Scored, rules: Sequence[Rule], scores: Sequence[torch.Tensor],
             bos: int) -> Lists:
    """Of any rules at any budgets; `scores` [R, H, M], one a rule."""
    heads = scores[0].shape[1]
    taken = _all_or_reserved(plan, part, scored, bos, heads)
    for rule, score, most in zip(rules, scores, part.most, strict=True):
        _take_rule(taken, scored, rule, score, most, bos)
    return packed(taken)


def packed(taken: torch.Tensor) -> Lists:
    """Lists of what is True in `taken` [B, H, N]."""
    counts = taken.sum(dim=-1)
    batch, heads = counts.shape
    entries = taken.nonzero()
    longest = int(counts.max())
    if entries.shape[0] == longest * batch * heads:
        return Lists(index=entries[:, 2].view(batch, heads, longest), counts=counts)
    index = torch.zeros(batch, heads, longest, dtype=torch.int64, device=taken.device)
    places = taken.cumsum(dim=-1)[taken] - 1
    index[entries[:, 0], entries[:, 1], places] = entries[:, 2]
    return Lists(index=index, counts=counts)


def _all_or_reserved(plan: CpuPlan, part: Part, scored: Scored, bos: int, heads: int) -> torch.Tensor:
    """Bool [B, H, N]: all blocks of rows that fit, the reserved ones of others."""
    taken = torch.zeros(len(plan.blocks), heads, max(plan.blocks), dtype=torch.bool)
    selecting = dict(zip(scored.requests, zip(scored.blocks, part.live, strict=True), strict=True))
    for request, n in enumerate(plan.blocks):
        taken[request, :, :n] = True
        if request in selecting:
            end, live = selecting[request]
            chosen = list(range(heads)) if all(live) else [head for head, scores in enumerate(live) if scores]
            taken[request, chosen, bos:end] = False
    return taken.to(plan.tables.device)


def _take_rule(taken: torch.Tensor, scored: Scored, rule: Rule, score: torch.Tensor,
               most: Sequence[Sequence[int]], bos: int) -> None:
    """Adds what one rule takes to `taken`; `most` is by scored request and kv head, or one for all heads."""
    heads = score.shape[1]
    alike: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for row, (end, limits) in enumerate(zip(scored.blocks, most, strict=True)):
        for head in range(heads):
            limit = limits[head if len(limits) > 1 else 0]
            # A head that fits has all its blocks; what is chosen for it as well does no harm.
            alike.setdefault((end, min(limit, end - bos)), []).append((row, head))
    for (end, limit), pairs in alike.items():
        rows, own = [row for row, _ in pairs], [head for _, head in pairs]
        chosen = chosen_of(rule, score[rows, own, bos:end], limit)
        requests = [scored.requests[row] for row in rows]
        taken[requests, own, bos:end] |= chosen


def chosen_of(rule: Rule, score: torch.Tensor, most: int) -> torch.Tensor:
    """Bool, as `score` [rows, M]: what a rule takes of rows that are M blocks wide, at most `most` of each."""
    if rule.op == "top_p" and rule.at < 1:
        return _shares(score, rule.at, most)
    chosen = torch.zeros_like(score, dtype=torch.bool).scatter_(-1, best(score, most), True)
    return chosen & (score >= rule.at) if rule.op == "threshold" else chosen


def _shares(score: torch.Tensor, p: float, most: int) -> torch.Tensor:
    """The best, until their shares (softmax of the score; of NaN 0) reach `p` together."""
    order = in_order(score)
    ordered = score.gather(-1, order)
    shares = torch.softmax(ordered.where(~ordered.isnan(), float("-inf")), dim=-1).nan_to_num(0.0)
    short = (shares.cumsum(dim=-1) < p).sum(dim=-1, keepdim=True)
    near = torch.arange(score.shape[-1], device=score.device) < (short + 1).clamp(max=most)
    return torch.zeros_like(near).scatter_(-1, order, near)
