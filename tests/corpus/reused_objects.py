from vortex_torch.cache import Mean as CMean
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add, GeMV, Mean, Multiply, topK


@register("agent_reused_objects_cls")
class Reused(vFlow):
    """One object for every product and one for every sum; two share a cache op."""

    def __init__(self):
        super().__init__()
        self.m = Mean(dim=1)
        self.d, self.a, self.t, self.c, self.x = GeMV(), Add(), topK(), CMean(dim=1), Multiply()

    def create_cache(self, block_size, head_dim):
        return {"k_mean": (1, head_dim), "v_mean": (1, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.c(cache["k"], cache["k_mean"], loc=loc, ctx=ctx)
        self.c(cache["v"], cache["v_mean"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        a = self.d(self.m(q, ctx=ctx), cache["k_mean"], ctx=ctx)
        b = self.d(self.m(q, ctx=ctx), cache["v_mean"], ctx=ctx)
        c = self.d(self.m(cache["k_mean"], ctx=ctx), cache["v_mean"], ctx=ctx)
        self.t(self.a(self.a(a, self.x(b, b, ctx=ctx), ctx=ctx), self.a(c, c, ctx=ctx), ctx=ctx), o, ctx=ctx)
