from vortex_torch.cache import MaxInterleave, MinInterleave
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Kron, Max, Maximum, Sum, topK


@register("lserve_sparse_attention")
class LServe(vFlow):
    LSERVE_BLOCK_SIZE = 16

    def __init__(self):
        super().__init__()
        self.kron_hi, self.kron_lo = Kron(dim=1), Kron(dim=1)
        self.larger = Maximum()
        self.features = Sum(dim=2)
        self.best = Max(dim=1)
        self.topk = topK()
        self.hi = MaxInterleave(dim=1, k=self.LSERVE_BLOCK_SIZE)
        self.lo = MinInterleave(dim=1, k=self.LSERVE_BLOCK_SIZE)

    def create_cache(self, block_size, head_dim):
        assert block_size % self.LSERVE_BLOCK_SIZE == 0, "blocks are made of whole logical pages"
        rows = block_size // self.LSERVE_BLOCK_SIZE
        return {"max": (rows, head_dim), "min": (rows, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.hi(cache["k"], cache["max"], loc=loc, ctx=ctx)
        self.lo(cache["k"], cache["min"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        above = self.kron_hi(q, cache["max"], ctx=ctx)      # [S, H*r, D]
        below = self.kron_lo(q, cache["min"], ctx=ctx)
        bound = self.features(self.larger(above, below, ctx=ctx), ctx=ctx)
        self.topk(self.best(bound, ctx=ctx), o, ctx=ctx)
