from vortex_torch.cache import Add as CAdd, L2Norm as CL2Norm, Mean as CMean, Multiply as CMul
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import GeMV, Mean, Multiply, topK


@register("agent_field_read_back_cls")
class ReadsItsOwnField(vFlow):
    """The spread of the keys about the centroid that the op before has just written."""

    def __init__(self):
        super().__init__()
        self.qm, self.dot, self.mul, self.topk = Mean(dim=1), GeMV(), Multiply(), topK()
        self.cm, self.minus = CMean(dim=1), CAdd(alpha=1.0, beta=-1.0)
        self.square, self.spread, self.length = CMul(), CMean(dim=1), CL2Norm(dim=2)

    def create_cache(self, block_size, head_dim):
        return {"c": (1, head_dim), "var": (1, head_dim), "size": (1, 1)}

    def forward_cache(self, cache, loc, ctx):
        self.cm(cache["k"], cache["c"], loc=loc, ctx=ctx)
        off = self.minus(cache["k"], cache["c"], None, loc=loc, ctx=ctx)
        self.spread(self.square(off, off, None, loc=loc, ctx=ctx), cache["var"], loc=loc, ctx=ctx)
        self.length(cache["var"], cache["size"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        score = self.dot(self.qm(q, ctx=ctx), cache["c"], ctx=ctx)
        by_spread = self.dot(self.qm(q, ctx=ctx), cache["var"], ctx=ctx)
        score = self.mul(score, cache["size"], ctx=ctx)
        self.topk(self.mul(score, by_spread, ctx=ctx), o, ctx=ctx)
