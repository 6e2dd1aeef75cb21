from vortex_torch.cache import Fill, Mean as CMean
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add, GeMM, Load, Max, Maximum, Mean, Save, topK


@register("agent_two_states_cls")
class TwoStates(vFlow):
    """Keeps a slow average and a decaying peak of every block's score."""

    SLOW = 0.9
    DECAY = 0.8

    def __init__(self):
        super().__init__()
        self.qm = Mean(dim=1)
        self.gemm = GeMM()
        self.gemm_heads = GeMM()
        self.peak_heads = Max(dim=2)
        self.loads = [Load(), Load()]
        self.saves = [Save(), Save()]
        self.slow = Add(alpha=self.SLOW, beta=1.0 - self.SLOW)
        self.decay = Add(alpha=self.DECAY, beta=0.0)
        self.larger = Maximum()
        self.blend = Add(alpha=1.0, beta=0.5)
        self.topk = topK()
        self.cm = CMean(dim=1)
        self.fills = {"avg": Fill(), "peak": Fill(alpha=-4.0)}

    def create_cache(self, block_size, head_dim):
        return {"c": (1, head_dim), "avg": (1, 1), "peak": (1, 1)}

    def forward_cache(self, cache, loc, ctx):
        self.cm(cache["k"], cache["c"], loc=loc, ctx=ctx)
        for name in ("avg", "peak"):
            self.fills[name](cache[name], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        now = self.gemm(self.qm(q, ctx=ctx), cache["c"], ctx=ctx)
        hot = self.peak_heads(self.gemm_heads(q, cache["c"], ctx=ctx), ctx=ctx)
        avg, peak = [load(cache[name], ctx=ctx) for load, name in zip(self.loads, ("avg", "peak"))]
        avg = self.slow(avg, now, ctx=ctx)
        peak = self.larger(self.decay(peak, peak, ctx=ctx), hot, ctx=ctx)
        self.saves[0](avg, cache["avg"], ctx=ctx)
        self.saves[1](peak, cache["peak"], ctx=ctx)
        self.topk(self.blend(avg, peak, ctx=ctx), o, ctx=ctx)
