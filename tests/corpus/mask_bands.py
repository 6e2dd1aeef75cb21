from vortex_torch.cache import MaskSlice as CMaskSlice, Max as CMax, Mean as CMean, Multiply as CMultiply
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add, GeMM, MaskSlice, Max, Mean, Multiply, topK


@register("agent_mask_bands_cls")
class Bands(vFlow):
    """Low and high channels are weighed apart; the first half of the block counts more than the second."""

    LOW = 12

    def __init__(self):
        super().__init__()
        self.low = MaskSlice(0, self.LOW, dim=2, alpha=1.5)
        self.rows = MaskSlice(0, 1, dim=1, alpha=2.0, beta=0.5)
        self.empty = MaskSlice(3, 3, dim=2, alpha=9.0, beta=0.25)
        self.mul_q, self.mul_r, self.mul_e, self.gemm = Multiply(), Multiply(), Multiply(), GeMM()
        self.head_max, self.row_mean, self.add, self.topk = Max(dim=2), Mean(dim=1), Add(), topK()
        self.weighed, self.cmean, self.cmax = CMultiply(), CMean(dim=1), CMax(dim=1)
        self.early = None

    def create_cache(self, block_size, head_dim):
        self.early = CMaskSlice(0, block_size // 2, 1, 1.25, 0.75)
        return {"c": (1, head_dim), "top": (1, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        weights = self.early(cache["k"], None, loc=loc, ctx=ctx)
        keys = self.weighed(cache["k"], weights, None, loc=loc, ctx=ctx)
        self.cmean(keys, cache["c"], loc=loc, ctx=ctx)
        self.cmax(keys, cache["top"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        low = self.mul_q(q, self.low(q, ctx=ctx), ctx=ctx)
        a = self.gemm(low, cache["c"], ctx=ctx)
        first = self.mul_r(q, self.rows(q, ctx=ctx), ctx=ctx)
        quiet = self.mul_e(cache["top"], self.empty(cache["c"], ctx=ctx), ctx=ctx)
        b = self.gemm(first, quiet, ctx=ctx)
        self.topk(self.add(self.head_max(a, ctx=ctx), self.head_max(b, ctx=ctx), ctx=ctx), o, ctx=ctx)
