from vortex_torch.cache import Fill as CFill, Max as CMax, Min as CMin
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add, GeMM, Load, Max, Maximum, Mean, Multiply, Save, Sum, topK


@register("agent_state_vector_cls")
class VectorState(vFlow):
    """Per-channel contributions are smoothed over time before they are summed."""

    def __init__(self):
        super().__init__()
        self.qm = Mean(dim=1)
        self.hi, self.lo, self.larger = Multiply(), Multiply(), Maximum()
        self.load, self.save = Load(), Save()
        self.smooth = Add(alpha=0.25, beta=0.75)
        self.sum, self.topk = Sum(dim=2), topK()
        self.cmax, self.cmin, self.fill = CMax(dim=1), CMin(dim=1), CFill(0.0)

    def create_cache(self, block_size, head_dim):
        return {"hi": (1, head_dim), "lo": (1, head_dim), "trace": (1, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.cmax(cache["k"], cache["hi"], loc=loc, ctx=ctx)
        self.cmin(cache["k"], cache["lo"], loc=loc, ctx=ctx)
        self.fill(cache["trace"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        qm = self.qm(q, ctx=ctx)
        now = self.larger(self.hi(qm, cache["hi"], ctx=ctx), self.lo(qm, cache["lo"], ctx=ctx), ctx=ctx)
        then = self.load(cache["trace"], ctx=ctx)
        kept = self.smooth(then, now, ctx=ctx)
        self.save(kept, cache["trace"], ctx=ctx)
        self.topk(self.sum(kept, ctx=ctx), o, ctx=ctx)
