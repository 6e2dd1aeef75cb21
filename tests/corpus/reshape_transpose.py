from vortex_torch.cache import Mean as CMean
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Kron, Max, Multiply, Reshape, Sum, Transpose, topK


@register("agent_reshape_transpose_cls")
class RotaryPairs(vFlow):
    """Channel i and channel i + D/2 turn together: the score is the best of the pairs' sums over four bands."""

    BANDS = 4

    def __init__(self):
        super().__init__()
        self.mul, self.topk = Multiply(), topK()
        self.turn, self.back = Transpose(), Transpose()
        self.sum_pairs, self.sum_band = Sum(dim=1), Sum(dim=2)
        self.max_band, self.max_heads = Max(dim=1), Max(dim=1)
        self.cm = CMean(dim=1)
        self.kron = Kron(dim=1)
        self.flat = self.bands = None

    def create_cache(self, block_size, head_dim):
        return {"c": (1, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.cm(cache["k"], cache["c"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        _, heads, dim = q.shape
        half = dim // 2
        terms = self.mul(q, cache["c"], ctx=ctx)                                        # [S, H, D]
        pairs = Reshape(-1, heads * 2, half)(terms, ctx=ctx)
        summed = Reshape(-1, heads, half)(Sum(dim=1)(Reshape(-1, 2, heads * half)(
            self.back(Reshape(-1, heads * half, 2)(
                Transpose()(Reshape(-1, 2, half * heads)(pairs, ctx=ctx), ctx=ctx), ctx=ctx), ctx=ctx), ctx=ctx),
            ctx=ctx), ctx=ctx)
        bands = Reshape(-1, heads * self.BANDS, half // self.BANDS)(summed, ctx=ctx)
        best = self.max_band(self.sum_band(bands, ctx=ctx), ctx=ctx)
        self.topk(best, o, ctx=ctx)
