from vortex_torch.cache import Max as CMax
from vortex_torch.cache import Min as CMin
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import MaskSlice, Max, Maximum, Multiply, Sum, topK


@register("masked_quest_sparse_attention")
class MaskedQuest(vFlow):
    """The envelope's bound without its first features."""

    MASK_END = 8

    def __init__(self):
        super().__init__()
        self.mul_hi, self.mul_lo, self.mul_mask = Multiply(), Multiply(), Multiply()
        self.bound = Maximum()
        self.mask = MaskSlice(0, self.MASK_END, dim=2, alpha=0.0, beta=1.0)
        self.sum, self.max = Sum(dim=2), Max(dim=1)
        self.c_hi, self.c_lo = CMax(dim=1), CMin(dim=1)
        self.out = topK()

    def create_cache(self, block_size, head_dim):
        return dict(max=(1, head_dim), min=(1, head_dim))

    def forward_cache(self, cache, loc, ctx):
        self.c_hi(cache["k"], cache["max"], loc=loc, ctx=ctx)
        self.c_lo(cache["k"], cache["min"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        hi = self.mul_hi(q, cache["max"], ctx=ctx)
        lo = self.mul_lo(q, cache["min"], ctx=ctx)
        bound = self.bound(hi, lo, ctx=ctx)
        kept = self.mul_mask(bound, self.mask(bound, ctx=ctx), ctx=ctx)
        self.out(self.max(self.sum(kept, ctx=ctx), ctx=ctx), o, ctx=ctx)
