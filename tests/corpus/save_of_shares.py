from vortex_torch.cache import Fill, Mean as CMean
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add, Conv1d, GeMM, Load, Max, Save, Softmax, topK


@register("agent_save_of_shares_cls")
class SaveOfShares(vFlow):
    """Attention mass per block adds up over the steps, is smoothed over neighbours, and the smoothed mass decides."""

    FORGET = 1.0 - 2.0 ** -4

    def __init__(self):
        super().__init__()
        self.gemm, self.share, self.heads = GeMM(), Softmax(0, 0.3), Max(2)
        self.load, self.save, self.sum = Load(), Save(), Add(1.0, self.FORGET)
        self.smooth = Conv1d(weight=[[[0.8]], [[0.2]]], dim=0)
        self.topk = topK()
        self.cm, self.fill = CMean(1), Fill(0.0)

    def create_cache(self, block_size, head_dim):
        return {"c": (1, head_dim), "mass": (1, 1)}

    def forward_cache(self, cache, loc, ctx):
        self.fill(cache["mass"], loc=loc, ctx=ctx)
        self.cm(cache["k"], cache["c"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        share = self.heads(self.share(self.gemm(q, cache["c"], ctx), ctx), ctx)
        mass = self.sum(share, self.load(cache["mass"], ctx), ctx)
        self.save(mass, cache["mass"], ctx)
        self.topk(self.smooth(mass, ctx), o, ctx)
