from vortex_torch.cache import MaxInterleave as CMaxI, Mean as CMean, MeanInterleave as CMeanI, MinInterleave as CMinI
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add, GeMM, Max, Mean, Multiply, topK


@register("agent_interleave_pyramid_cls")
class Pyramid(vFlow):
    """Means of two levels, each made from the one below, and the peak and trough of the finest."""

    def __init__(self):
        super().__init__()
        self.fine, self.coarse, self.whole = CMeanI(dim=1, k=4), CMeanI(dim=1, k=2), CMean(dim=1)
        self.peak, self.trough = CMaxI(dim=1, k=2), CMinI(dim=2, k=4)
        self.qm, self.gemm, self.topk = Mean(dim=1), GeMM(), topK()
        self.best = Max(dim=1)
        self.weights = (0.5, 0.3, 0.2)

    def create_cache(self, block_size, head_dim):
        return {
            "fine": (block_size // 4, head_dim), "coarse": (block_size // 8, head_dim), "whole": (1, head_dim),
            "peak": (block_size // 8, head_dim), "trough": (1, head_dim // 4),
        }

    def forward_cache(self, cache, loc, ctx):
        fine = self.fine(cache["k"], cache["fine"], loc=loc, ctx=ctx)
        coarse = self.coarse(fine, cache["coarse"], loc=loc, ctx=ctx)
        whole = self.whole(coarse, cache["whole"], loc=loc, ctx=ctx)
        self.peak(fine, cache["peak"], loc=loc, ctx=ctx)
        self.trough(whole, cache["trough"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        qm = self.qm(q, ctx=ctx)
        total = None
        for weight, name in zip(self.weights, ("fine", "coarse", "whole")):
            level = self.best(self.gemm(qm, cache[name], ctx=ctx), ctx=ctx)
            total = Add(alpha=weight, beta=0.0)(level, level, ctx=ctx) if total is None \
                else Add(alpha=1.0, beta=weight)(total, level, ctx=ctx)
        peak = self.best(self.gemm(qm, cache["peak"], ctx=ctx), ctx=ctx)
        trough = Max(dim=2)(cache["trough"], ctx=ctx)
        total = Add(beta=0.05)(total, Multiply()(peak, trough, ctx=ctx), ctx=ctx)
        self.topk(total, o, ctx=ctx)
