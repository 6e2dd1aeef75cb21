from vortex_torch.cache import MeanInterleave
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add, GeMM, MaskSlice, Max, Mean, Multiply, topK


class _Scales:
    """Plain constants."""

    WEIGHTS = (1.0, 0.5, 0.25, 0.125)


@register("agent_built_by_loops_cls")
class Octaves(vFlow):
    """Bands of channels in octaves, each with a mask, a product and a weight from a list of op objects."""

    OCTAVES = 4

    def __init__(self):
        super().__init__()
        self.ops = []
        for i in range(self.OCTAVES):
            self.ops.append({
                "mask": MaskSlice(0 if i == 0 else 4 * 2 ** (i - 1), 4 * 2 ** i, dim=2),
                "mul": Multiply(),
                "gemm": GeMM(),
                "max": Max(dim=1),
                "add": Add(alpha=1.0, beta=_Scales.WEIGHTS[i]),
            })
        self.qm, self.topk, self.zero = Mean(dim=1), topK(), Add(alpha=0.0, beta=0.0)
        self.sub = MeanInterleave(dim=1, k=8)

    def create_cache(self, block_size, head_dim):
        assert head_dim >= 4 * 2 ** (self.OCTAVES - 1)
        return {"c": (block_size // 8, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.sub(cache["k"], cache["c"], loc=loc, ctx=ctx)

    def band(self, ops, query, cache, ctx):
        masked = ops["mul"](query, ops["mask"](query, ctx=ctx), ctx=ctx)
        return ops["max"](ops["gemm"](masked, cache["c"], ctx=ctx), ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        query = self.qm(q, ctx=ctx)
        bands = [self.band(ops, query, cache, ctx) for ops in self.ops]
        total = self.zero(bands[0], bands[0], ctx=ctx)
        for ops, band in zip(self.ops, bands):
            total = ops["add"](total, band, ctx=ctx)
        self.topk(total, o, ctx=ctx)
