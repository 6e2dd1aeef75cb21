from vortex_torch.cache import Max as CMax, Mean as CMean
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add, Exp, GeMV, Max, Mean, Multiply, Softmax, topK


@register("agent_dead_values_cls")
class DeadValues(vFlow):
    """Debris of earlier attempts: a field nobody reads and products nobody uses."""

    def __init__(self):
        super().__init__()
        self.qm, self.dot, self.topk, self.soft, self.exp = Mean(dim=1), GeMV(), topK(), Softmax(scale=2.0), Exp()
        self.qx, self.mul, self.add = Max(dim=1), Multiply(), Add(beta=0.0)
        self.cm, self.unused = CMean(dim=1), CMax(dim=1)

    def create_cache(self, block_size, head_dim):
        return {"c": (1, head_dim), "never_read": (1, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.cm(cache["k"], cache["c"], loc=loc, ctx=ctx)
        self.unused(cache["k"], cache["never_read"], loc=loc, ctx=ctx)
        self.unused(cache["v"], None, loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        s = self.dot(self.qm(q, ctx=ctx), cache["c"], ctx=ctx)
        _ = self.exp(s, ctx=ctx)
        peak = self.dot(self.qx(q, ctx=ctx), cache["c"], ctx=ctx)
        self.mul(s, peak, ctx=ctx)
        score = self.add(s, peak, ctx=ctx)
        self.topk(self.soft(score, ctx=ctx), o, ctx=ctx)
