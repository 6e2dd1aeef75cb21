from vortex_torch.cache import Exp as CExp, Max as CMax, Mean as CMean, Min as CMin, Multiply as CMultiply, Add as CAdd
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add, GeMV, Max, Mean, Min, Minimum, Normalize, topK


@register("agent_scores_in_dict_cls")
class Committee(vFlow):
    """Several judges, each normalised over the row; the score is their average less a share of their disagreement."""

    JUDGES = ("mean", "warm", "middle")

    def __init__(self):
        super().__init__()
        self.qm, self.qx = Mean(dim=1), Max(dim=1)
        self.dots = {judge: GeMV() for judge in self.JUDGES}
        self.norms = {judge: Normalize() for judge in self.JUDGES}
        self.sum, self.low, self.blend, self.topk = Add(), Minimum(), Add(alpha=1.0 / len(self.JUDGES), beta=0.5), topK()
        self.cmean, self.cexp, self.cmul, self.cmax, self.cmin = CMean(dim=1), CExp(beta=0.5), CMultiply(), CMax(dim=1), CMin(dim=1)
        self.half = CAdd(alpha=0.5, beta=0.5)

    def create_cache(self, block_size, head_dim):
        return {judge: (1, head_dim) for judge in self.JUDGES}

    def forward_cache(self, cache, loc, ctx):
        k = cache["k"]
        self.cmean(k, cache["mean"], loc=loc, ctx=ctx)
        warm = self.cmul(k, self.cexp(k, None, loc=loc, ctx=ctx), None, loc=loc, ctx=ctx)
        self.cmean(warm, cache["warm"], loc=loc, ctx=ctx)
        top, bottom = self.cmax(k, None, loc=loc, ctx=ctx), self.cmin(k, None, loc=loc, ctx=ctx)
        self.half(top, bottom, cache["middle"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        query = {"mean": self.qm(q, ctx=ctx), "warm": self.qx(q, ctx=ctx), "middle": self.qm(q, ctx=ctx)}
        votes = {}
        for judge, dot in self.dots.items():
            votes[judge] = self.norms[judge](dot(query[judge], cache[judge], ctx=ctx), ctx=ctx)
        names = list(votes)
        total, least = votes[names[0]], votes[names[0]]
        for name in names[1:]:
            total, least = self.sum(total, votes[name], ctx=ctx), self.low(least, votes[name], ctx=ctx)
        self.topk(self.blend(total, least, ctx=ctx), o, ctx=ctx)
