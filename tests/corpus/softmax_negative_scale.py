from vortex_torch.cache import Min as CMin
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import GeMM, Min, Softmax, topK


@register("agent_softmax_negative_scale_cls")
class Repelled(vFlow):
    """A negative temperature favours what points away from the query."""

    def __init__(self):
        super().__init__()
        self.gemm, self.repel, self.least, self.topk = GeMM(), Softmax(dim=0, scale=-0.25), Min(dim=2), topK()
        self.cmin = CMin(dim=1)

    def create_cache(self, block_size, head_dim):
        return {"lo": (1, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.cmin(cache["k"], cache["lo"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        self.topk(self.least(self.repel(self.gemm(q, cache["lo"], ctx=ctx), ctx=ctx), ctx=ctx), o, ctx=ctx)
