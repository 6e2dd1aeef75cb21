"""The part of a plan that depends on a layer's budget: who is scored, how much may be taken, what is known beforehand."""
from collections.abc import Sequence

import torch

from vortex.budget import budget
from vortex.compiler.layout import CpuPlan, Part, make_scored
from vortex.compiler.program import Lists
from vortex.compiler.selection import EVERYTHING, Rule, fits
from vortex.config import OperatingPoint

Budgets = tuple[tuple[int, ...], ...]     # by request and kv head; one entry stands for all heads


def part_of(plan: CpuPlan, point: OperatingPoint, rules: Sequence[Rule], layer: int) -> Part:
    """Made when a layer first asks for it; layers of one row of the tables share it."""
    tables = (point.topk_layers, point.ratio_layers)
    key = tuple(min(layer, len(table) - 1) for table in tables)
    if key not in plan.parts:
        entries = [table[at] for table, at in zip(tables, key, strict=True) if table]
        heads = max((len(entry) for entry in entries if isinstance(entry, tuple)), default=1)
        plan.parts[key] = _made(plan, point, tuple(rules), layer, heads)
    return plan.parts[key]


def _made(plan: CpuPlan, point: OperatingPoint, rules: tuple[Rule, ...], layer: int, heads: int) -> Part:
    bos, eos = point.block_reserved_bos, point.block_reserved_eos
    if any(rule.op == EVERYTHING for rule in rules):
        return _whole(plan)
    found = {n: tuple(budget(n, point, layer, head) for head in range(heads)) for n in set(plan.blocks)}
    budgets = [found[n] for n in plan.blocks]
    live = [tuple(not fits(rules, n, allowed, bos + eos) for allowed in own)
            for n, own in zip(plan.blocks, budgets, strict=True)]
    large = [row for row, own in enumerate(live) if any(own)]
    if not large:
        return _whole(plan)
    most = tuple(tuple(tuple(rule.most(allowed, bos + eos) for allowed in budgets[row]) for row in large)
                 for rule in rules)
    alike = heads == 1 and len(rules) == 1 and rules[0].op == "topk"
    taken = [bos + eos + rules[0].most(own[0], bos + eos) if any(scores) else n
             for n, own, scores in zip(plan.blocks, budgets, live, strict=True)]
    return Part(scored=make_scored(plan.tables, plan.runs, plan.blocks, large, (bos, eos)),
                live=tuple(live[row] for row in large), most=most,
                known=_known(plan, taken, bos, eos) if alike else None)


def _whole(plan: CpuPlan) -> Part:
    return Part(scored=None, live=(), most=(), known=_known(plan, plan.blocks, 0, 0))


def _known(plan: CpuPlan, taken: Sequence[int], bos: int, eos: int) -> Lists:
    """[B, 1, L]: all of a row that is taken whole; first and last blocks of another, zeros between and beyond."""
    device, rows = plan.tables.device, dict[int, torch.Tensor]()
    for n, count in zip(plan.blocks, taken, strict=True):
        if n not in rows:
            row = torch.zeros(max(taken), dtype=torch.int64)
            if n == count:
                row[:n] = torch.arange(n)
            else:
                row[:bos] = torch.arange(bos)
                row[count - eos:count] = torch.arange(n - eos, n)
            rows[n] = row
    return Lists(index=torch.stack([rows[n] for n in plan.blocks])[:, None].to(device),
                 counts=torch.tensor(taken, device=device)[:, None])
