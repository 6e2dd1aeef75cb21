"""A blend of the average key and the envelope, for one query and for a group."""
from vortex_torch.cache import Max as CMax, Mean as CMean, Min as CMin
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add, GeMM, GeMV, Max, Maximum, Mean, Multiply, Sum, topK


class Blend(vFlow):
    def __init__(self, w_avg: float = 1.0, w_peak: float = 1.0):
        super().__init__()
        self.c_mean, self.c_max, self.c_min = CMean(dim=1), CMax(dim=1), CMin(dim=1)
        self.times_max, self.times_min = Multiply(), Multiply()
        self.larger, self.features = Maximum(), Sum(dim=2)
        self.blend = Add(alpha=w_avg, beta=w_peak)
        self.topk = topK()

    def create_cache(self, block_size, head_dim):
        return {name: (1, head_dim) for name in ("centroids", "max", "min")}

    def forward_cache(self, cache, loc, ctx):
        for op, name in ((self.c_mean, "centroids"), (self.c_max, "max"), (self.c_min, "min")):
            op(cache["k"], cache[name], loc=loc, ctx=ctx)

    def peak(self, query, cache, ctx):
        above = self.times_max(query, cache["max"], ctx=ctx)
        below = self.times_min(query, cache["min"], ctx=ctx)
        return self.features(self.larger(above, below, ctx=ctx), ctx=ctx)


@register("h2o_sparse_attention")
class H2O(Blend):
    def __init__(self):
        super().__init__()
        self.q_mean, self.dot = Mean(dim=1), GeMV()

    def forward_indexer(self, q, o, cache, ctx):
        query = self.q_mean(q, ctx=ctx)
        average = self.dot(query, cache["centroids"], ctx=ctx)
        score = self.blend(average, self.peak(query, cache, ctx), ctx=ctx)
        self.topk(score, o, ctx=ctx)


@register("gqa_h2o_sparse_attention")
class GroupH2O(Blend):
    def __init__(self):
        super().__init__(w_avg=0.75, w_peak=0.25)
        self.gemm, self.max_heads, self.max_rows = GeMM(), Max(dim=2), Max(dim=1)

    def forward_indexer(self, q, o, cache, ctx):
        average = self.max_heads(self.gemm(q, cache["centroids"], ctx=ctx), ctx=ctx)
        peak = self.max_rows(self.peak(q, cache, ctx), ctx=ctx)
        self.topk(self.blend(average, peak, ctx=ctx), o, ctx=ctx)
