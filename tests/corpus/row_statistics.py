from vortex_torch.cache import Max as CMax, Mean as CMean, Min as CMin
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add, GeMM, L2Norm, Max, Maximum, Mean, Min, Multiply, Sum, topK


@register("agent_row_statistics_cls")
class RowStatistics(vFlow):
    """What the whole row's fields look like becomes part of the query: a common direction is taken out."""

    def __init__(self):
        super().__init__()
        self.load_mean, self.hi, self.lo, self.total, self.len = Mean(dim=0), Max(dim=0), Min(dim=0), Sum(dim=0), L2Norm(dim=0)
        self.as_ragged = Add(alpha=0.5, beta=0.5)
        self.minus, self.width, self.plus = Add(beta=-1.0), Add(beta=-1.0), Add(beta=0.01)
        self.qm, self.times, self.gemm, self.topk = Mean(dim=1), Multiply(), GeMM(), topK()
        self.last = Add(alpha=1.0, beta=1e-3)
        self.cm, self.cx, self.cn = CMean(dim=1), CMax(dim=1), CMin(dim=1)

    def create_cache(self, block_size, head_dim):
        return {"c": (1, head_dim), "x": (1, head_dim), "n": (1, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.cm(cache["k"], cache["c"], loc=loc, ctx=ctx)
        self.cx(cache["k"], cache["x"], loc=loc, ctx=ctx)
        self.cn(cache["k"], cache["n"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        middle = self.as_ragged(cache["x"], cache["n"], ctx=ctx)
        common = self.load_mean(middle, ctx=ctx)
        width = self.width(self.hi(middle, ctx=ctx), self.lo(middle, ctx=ctx), ctx=ctx)
        query = self.times(self.minus(self.qm(q, ctx=ctx), common, ctx=ctx), width, ctx=ctx)
        query = self.plus(query, self.total(middle, ctx=ctx), ctx=ctx)
        s = self.gemm(query, cache["c"], ctx=ctx)
        self.topk(self.last(s, self.gemm(self.len(middle, ctx=ctx), cache["c"], ctx=ctx), ctx=ctx), o, ctx=ctx)
