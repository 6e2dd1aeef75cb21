import torch

from vortex_torch.cache import Mean as CMean
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Conv1d, GeMV, Mean, topK


@register("agent_conv_smoothing_cls")
class Smoothed(vFlow):
    """Neighbours vouch for a block: tap 0 is the block itself, tap k the k-th before it."""

    TAPS = [0.6, 0.3, 0.1]

    def __init__(self):
        super().__init__()
        self.qm, self.dot = Mean(dim=1), GeMV()
        self.smooth = Conv1d([[[t]] for t in self.TAPS], dim=0, dtype=torch.float32)
        self.topk = topK()
        self.cm = CMean(dim=1)

    def create_cache(self, block_size, head_dim):
        return {"c": (1, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.cm(cache["k"], cache["c"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        raw = self.dot(self.qm(q, ctx=ctx), cache["c"], ctx=ctx)
        self.topk(self.smooth(raw, ctx=ctx), o, ctx=ctx)
