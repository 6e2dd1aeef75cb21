from vortex_torch.cache import Mean as CMean, Max as CMax
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add, Add_Mul, Exp, GeMM, L2Norm, Log, Max, Mean, Multiply, topK


@register("agent_z_scores_cls")
class ZScores(vFlow):
    """Each head's scores as deviations from their mean over the row, in units of their spread; the best head decides."""

    def __init__(self):
        super().__init__()
        self.gemm, self.mean, self.minus = GeMM(), Mean(dim=0), Add(1.0, -1.0)
        self.length, self.log, self.inverse = L2Norm(dim=0), Log(alpha=1e-6, beta=1.0), Exp(alpha=0.0, beta=-1.0)
        self.times, self.best, self.topk = Multiply(), Max(dim=2), topK()
        self.cm = CMean(dim=1)

    def create_cache(self, block_size, head_dim):
        return {"c": (1, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.cm(cache["k"], cache["c"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        s = self.gemm(q, cache["c"], ctx=ctx)
        off = self.minus(s, self.mean(s, ctx=ctx), ctx=ctx)
        one_over = self.inverse(self.log(self.length(off, ctx=ctx), ctx=ctx), ctx=ctx)
        self.topk(self.best(self.times(off, one_over, ctx=ctx), ctx=ctx), o, ctx=ctx)
