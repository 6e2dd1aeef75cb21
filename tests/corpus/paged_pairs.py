from vortex_torch.cache import Max as CMax, Mean as CMean, Min as CMin
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add, GeMV, L2Norm, Maximum, Mean, Minimum, Multiply, topK


@register("agent_paged_pairs_cls")
class FieldsMeet(vFlow):
    """Centre and half-width of the box are made from its corners on the fly."""

    def __init__(self):
        super().__init__()
        self.centre, self.width = Add(alpha=0.5, beta=0.5), Add(alpha=0.5, beta=-0.5)
        self.low, self.high, self.area = Minimum(), Maximum(), Multiply()
        self.qm, self.dot, self.dot2, self.norm = Mean(dim=1), GeMV(), GeMV(), L2Norm(dim=2)
        self.sum1, self.sum2, self.topk = Add(), Add(beta=0.125), topK()
        self.cmax, self.cmin, self.cmean = CMax(dim=1), CMin(dim=1), CMean(dim=1)

    def create_cache(self, block_size, head_dim):
        return {"max": (1, head_dim), "min": (1, head_dim), "mean": (1, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.cmax(cache["k"], cache["max"], loc=loc, ctx=ctx)
        self.cmin(cache["k"], cache["min"], loc=loc, ctx=ctx)
        self.cmean(cache["k"], cache["mean"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        qm = self.qm(q, ctx=ctx)
        centre = self.centre(cache["max"], cache["min"], ctx=ctx)
        width = self.width(cache["max"], cache["min"], ctx=ctx)
        near = self.low(centre, cache["mean"], ctx=ctx)
        far = self.high(cache["mean"], centre, ctx=ctx)
        score = self.sum1(self.dot(qm, near, ctx=ctx), self.dot2(qm, far, ctx=ctx), ctx=ctx)
        spread = self.norm(self.area(width, width, ctx=ctx), ctx=ctx)
        self.topk(self.sum2(score, spread, ctx=ctx), o, ctx=ctx)
