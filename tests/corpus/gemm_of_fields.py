from vortex_torch.cache import Mean as CMean, Min as CMin
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import GeMM, Max, Mean, Minimum, Multiply, WhereLess, Add, topK


@register("agent_gemm_of_fields_cls")
class BothSides(vFlow):
    """Raw keys and raw values meet the query on the spot; a block must please by either."""

    def __init__(self):
        super().__init__()
        self.qm, self.gemm, self.tok, self.small = Mean(dim=1), GeMM(), Max(dim=1), Minimum()
        self.gate, self.add, self.level, self.topk = WhereLess(), Add(), Mean(dim=0), topK()
        self.mean, self.min = CMean(dim=1), CMin(dim=1)

    def create_cache(self, block_size, head_dim):
        return {"vm": (1, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.mean(cache["v"], cache["vm"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        qm = self.qm(q, ctx=ctx)
        keys = self.tok(self.gemm(qm, cache["k"], ctx=ctx), ctx=ctx)
        values = self.tok(self.gemm(qm, cache["v"], ctx=ctx), ctx=ctx)
        least = self.small(keys, values, ctx=ctx)
        average = self.gemm(cache["vm"], qm, ctx=ctx)
        closed = self.gate(average, self.level(average, ctx=ctx), ctx=ctx)
        self.topk(self.add(least, closed, ctx=ctx), o, ctx=ctx)
