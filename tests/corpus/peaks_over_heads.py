from vortex_torch.cache import Max as CMax, Min as CMin
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add_Mul, GeMM, L2Norm, Max, Mean, Min, Relu, Sum, Transpose, Add, topK


@register("agent_peaks_over_heads_cls")
class TwoProducts(vFlow):
    """The envelope's bound by two products: relu(q) with the highs, relu(-q) with the lows."""

    def __init__(self):
        super().__init__()
        self.pos, self.neg, self.flip = Relu(), Relu(), Add_Mul(alpha=0.0, beta=-1.0)
        self.a, self.b, self.minus = GeMM(), GeMM(), Add(alpha=1.0, beta=-1.0)
        self.stats = [Max(dim=2), Mean(dim=2), Min(dim=2), L2Norm(dim=2)]
        self.turn, self.sum, self.topk = Transpose(), Sum(dim=1), topK()
        self.hi, self.lo = CMax(dim=1), CMin(dim=1)

    def create_cache(self, block_size, head_dim):
        return {"hi": (1, head_dim), "lo": (1, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.hi(cache["k"], cache["hi"], loc=loc, ctx=ctx)
        self.lo(cache["k"], cache["lo"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        up = self.a(self.pos(q, ctx=ctx), cache["hi"], ctx=ctx)
        down = self.b(self.neg(self.flip(q, ctx=ctx), ctx=ctx), cache["lo"], ctx=ctx)
        bound = self.minus(up, down, ctx=ctx)                                # [S, 1, H]
        total = self.stats[0](bound, ctx=ctx)
        for weight, stat in zip((0.5, -0.25, 0.125), self.stats[1:]):
            total = Add(1.0, weight)(total, stat(bound, ctx=ctx), ctx=ctx)
        heads = self.sum(self.turn(bound, ctx=ctx), ctx=ctx)
        self.topk(Add(alpha=0.9, beta=0.1)(total, heads, ctx=ctx), o, ctx=ctx)
