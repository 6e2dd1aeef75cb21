from vortex_torch.cache import MeanInterleave
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Conv1d, GeMM, Max, Mean, Softmax, topK


@register("agent_conv_lanes_cls")
class LanesOfTaps(vFlow):
    """Each half of a block has taps of its own; the second half of the last block is next to the first of this."""

    def __init__(self):
        super().__init__()
        self.qm, self.gemm = Mean(dim=1), GeMM()
        self.conv = Conv1d([[[0.5], [0.25]], [[-0.125], [0.75]]])
        self.share = Softmax(scale=0.5)
        self.max, self.topk = Max(dim=1), topK()
        self.halves = None

    def create_cache(self, block_size, head_dim):
        self.halves = MeanInterleave(dim=1, k=block_size // 2)
        return {"halves": (2, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.halves(cache["k"], cache["halves"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        s = self.gemm(self.qm(q, ctx=ctx), cache["halves"], ctx=ctx)       # [S, 2, 1]
        s = self.share(self.conv(s, ctx=ctx), ctx=ctx)
        self.topk(self.max(s, ctx=ctx), o, ctx=ctx)
