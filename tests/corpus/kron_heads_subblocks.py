from typing import Dict, Tuple

import torch

from vortex_torch.abs import ContextBase
from vortex_torch.cache import MaxInterleave, MeanInterleave
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add, Kron, Max, Mean, Reshape, Sum, Transpose, topK


@register("agent_kron_heads_subblocks_cls")
class KronHeadsSubblocks(vFlow):
    """Every head meets every sub-block.

    The Kronecker product lays [heads x sub-blocks] rows side by side, head by head. They are brought back into a table
    of [heads, sub-blocks]: first the best sub-block of each head, then the mean of the heads. A second branch takes
    the best head of each sub-block and then the mean over sub-blocks, and the two are added with different weights.
    """

    QUARTERS = 4

    def __init__(self):
        super().__init__()
        self.kron: Kron = Kron(dim=1)
        self.dot: Sum = Sum(dim=2)
        self.best_sub, self.mean_heads = Max(dim=2), Mean(dim=1)
        self.turn, self.best_head, self.mean_sub = Transpose(), Max(dim=2), Mean(dim=1)
        self.blend = Add(alpha=0.7, beta=0.3)
        self.topk = topK()
        self.mean = None

    def create_cache(self, block_size: int, head_dim: int) -> Dict[str, Tuple[int, int]]:
        self.mean = MeanInterleave(dim=1, k=block_size // self.QUARTERS)
        return {"subs": (self.QUARTERS, head_dim)}

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase) -> None:
        self.mean(cache["k"], cache["subs"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase) -> None:
        heads = q.shape[1]
        table = Reshape(-1, heads, self.QUARTERS)
        rows = self.dot(self.kron(q, cache["subs"], ctx=ctx), ctx=ctx)
        grid = table(rows, ctx=ctx)                                      # [S, H, 4]
        a = self.mean_heads(self.best_sub(grid, ctx=ctx), ctx=ctx)
        b = self.mean_sub(self.best_head(self.turn(grid, ctx=ctx), ctx=ctx), ctx=ctx)
        self.topk(self.blend(a, b, ctx=ctx), o, ctx=ctx)
