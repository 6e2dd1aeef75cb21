from vortex_torch.cache import Max as CMax
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import GeMM, L2Norm, approxTopK


@register("agent_approx_topk_cls")
class Approximate(vFlow):
    def __init__(self):
        super().__init__()
        self.gemm, self.norm, self.out = GeMM(), L2Norm(dim=2), approxTopK(tolerate_ratio=0.1)
        self.cmax = CMax(dim=1)

    def create_cache(self, block_size, head_dim):
        return {"hi": (1, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.cmax(cache["k"], cache["hi"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        self.out(self.norm(self.gemm(q, cache["hi"], ctx=ctx), ctx=ctx), o, ctx=ctx)
