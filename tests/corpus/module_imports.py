from __future__ import annotations

import math
from typing import TYPE_CHECKING, Dict, Optional, Tuple

import torch

import vortex_torch.cache as vc
import vortex_torch.indexer as vi
from vortex_torch.flow import register, vFlow

if TYPE_CHECKING:
    from vortex_torch.abs import ContextBase, vTensor

Fields = Dict[str, Tuple[int, int]]
TEMPERATURE = math.log(2.0) / math.pi


class Config:
    """What can be turned."""

    def __init__(self, sinks: int, taps: tuple):
        self.sinks = sinks
        self.taps = taps


@register("agent_module_imports_cls")
class ModuleImports(vFlow):
    """Calls with operands by name and contexts by place; taps that add up to one."""

    def __init__(self, config: Optional[Config] = None):
        super().__init__()
        self.config = config or Config(sinks=1, taps=(1.0, 2.0, 1.0))
        total = sum(self.config.taps)
        self.smooth = vi.Conv1d(weight=[[[float(tap / total)]] for tap in self.config.taps])
        self.qm, self.gemm, self.soft, self.add = vi.Mean(1), vi.GeMM(), vi.Softmax(0, TEMPERATURE), vi.Add(1, -1)
        self.topk, self.top, self.mean = vi.topK(), vc.Max(1), vc.Mean(1)

    @property
    def names(self):
        return ["c", "hi"]

    def create_cache(self, block_size: int, head_dim: int) -> Fields:
        return {name: (1, head_dim) for name in self.names}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase) -> None:
        assert cache["k"].shape[1] == self.block_size and set(self.names) <= set(cache.keys())
        self.mean(cache["k"], cache["c"], loc, ctx)
        self.top(cache["k"], output=cache["hi"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: vTensor, o: vTensor, cache: Dict[str, vTensor], ctx: ContextBase) -> None:
        assert q.dim() == 3 and q.shape[-1] == cache["c"].shape[-1] == self.head_dim

        def scored(name):
            return self.gemm(x=self.qm(q, ctx), y=cache[name], ctx=ctx)

        shares = self.soft(scored("c"), ctx)
        s = self.add(self.smooth(shares, ctx), self.soft(scored("hi"), ctx), ctx)
        self.topk(s, o, ctx)
