from vortex_torch.cache import MaxInterleave as CMaxI, MeanInterleave as CMeanI
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import GeMM, Max, Min, Mean, Multiply, Softmax, Sum, Transpose, topK


@register("agent_ragged_products_cls")
class AttendInside(vFlow):
    """A little attention inside each block: heads over quarter centroids, read out from quarter peaks."""

    def __init__(self):
        super().__init__()
        self.gemm, self.soft, self.turn = GeMM(), Softmax(scale=0.125), Transpose()
        self.out, self.mul, self.sum, self.best, self.topk = GeMM(), Multiply(), Sum(dim=2), Max(dim=1), topK()

    def create_cache(self, block_size, head_dim):
        k = block_size // 4
        self.mean, self.max = CMeanI(dim=1, k=k), CMaxI(dim=1, k=k)
        return {"keys": (4, head_dim), "peaks": (4, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.mean(cache["k"], cache["keys"], loc=loc, ctx=ctx)
        self.max(cache["v"], cache["peaks"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        shares = self.soft(self.gemm(q, cache["keys"], ctx=ctx), ctx=ctx)          # [S, 4, H]
        heads = self.turn(shares, ctx=ctx)                                         # [S, H, 4]
        values = self.turn(cache["peaks"], ctx=ctx)                                # [S, D, 4]
        read = self.out(values, heads, ctx=ctx)                                    # [S, H, D]
        self.topk(self.best(self.sum(self.mul(read, q, ctx=ctx), ctx=ctx), ctx=ctx), o, ctx=ctx)
