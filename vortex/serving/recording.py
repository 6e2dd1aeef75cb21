"""What decode steps log while a recording is open: one event a step and layer, plain lists and copies."""
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from vortex.compiler.attention import block_mass
from vortex.compiler.program import Lists, Plan
from vortex.serving.engine import Recorded, Recording


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One layer of one decode step. q [B, H, G, D]; k, v [H, P, S, D]; `lists` None where all rows were dense, `dense` where
    that was the engine's rule for the step and not the flow's budget."""

    layer: int
    requests: tuple[str, ...]
    plan: Plan
    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    lists: Lists | None
    dense: bool = False


class Recorder:
    """Turns moments into events:

    selections  layer, requests, lens, seeds, dense, lists: [request][kv head] -> positions of the blocks attended
    qkv         the same and q [B, H, G, D], k and v: a tensor [H, length, D] a request, its own copy
    mass        layer, requests, lens, mass: [request] -> float32 [H, n]
    """

    def __init__(self, what: Recorded) -> None:
        self.what = what
        self.recording = Recording()

    def note(self, moment: Moment) -> None:
        plan = moment.plan
        event = {"layer": moment.layer, "requests": list(moment.requests), "lens": list(plan.lens),
                 "seeds": list(plan.seeds), "dense": moment.dense}
        if self.what == "mass":
            pairs = zip(moment.q, own_tokens(plan, moment.k), strict=True)
            event["mass"] = [block_mass(q, keys, moment.k.shape[2]) for q, keys in pairs]
        else:
            event["lists"] = list_positions(plan, moment.lists, heads=moment.q.shape[1])
        if self.what == "qkv":
            event["q"] = moment.q.clone()
            event["k"] = own_tokens(plan, moment.k)
            event["v"] = own_tokens(plan, moment.v)
        self.recording.events.append(event)


def list_positions(plan: Plan, lists: Lists | None, heads: int) -> list[list[list[int]]]:
    """[request][kv head] -> ascending positions of the blocks attended."""
    if lists is None:
        return [[list(range(n)) for _ in range(heads)] for n in plan.blocks]
    rows: Sequence[Sequence[Sequence[int]]] = lists.index.tolist()
    counts: Sequence[Sequence[int]] = lists.counts.tolist()
    return [[list(row[:count]) for row, count in zip(*pair, strict=True)] for pair in zip(rows, counts, strict=True)]


def own_tokens(plan: Plan, pool: torch.Tensor) -> list[torch.Tensor]:
    """Each request's tokens of a pool [H, P, S, D], copied in order: [H, length, D]."""
    heads, _, _, channels = pool.shape
    return [pool[:, table[:n]].reshape(heads, -1, channels)[:, :length].contiguous()
            for table, n, length in zip(plan.tables, plan.blocks, plan.lens, strict=True)]
