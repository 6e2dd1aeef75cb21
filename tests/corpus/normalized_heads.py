from vortex_torch.cache import Mean as CMean, Max as CMax
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add, GeMM, Max, Normalize, Sum, topK


@register("agent_normalized_heads_cls")
class NormalizedHeads(vFlow):
    """Every head's scores have length one over the row before they are added up, so no loud head decides alone."""

    def __init__(self):
        super().__init__()
        self.gemm, self.norm, self.sum = GeMM(), Normalize(dim=0), Sum(dim=2)
        self.max, self.add, self.topk = Max(dim=2), Add(alpha=0.8, beta=0.2), topK()
        self.cmean, self.cmax = CMean(dim=1), CMax(dim=1)

    def create_cache(self, block_size, head_dim):
        return {"c": (1, head_dim), "hi": (1, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.cmean(cache["k"], cache["c"], loc=loc, ctx=ctx)
        self.cmax(cache["k"], cache["hi"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        a = self.sum(self.norm(self.gemm(q, cache["c"], ctx=ctx), ctx=ctx), ctx=ctx)
        b = self.max(self.norm(self.gemm(q, cache["hi"], ctx=ctx), ctx=ctx), ctx=ctx)
        self.topk(self.add(a, b, ctx=ctx), o, ctx=ctx)
