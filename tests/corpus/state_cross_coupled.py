from vortex_torch.cache import Fill as CFill, Mean as CMean
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add, GeMM, Load, Mean, Multiply, Normalize, Save, Sigmoid, topK


@register("agent_state_cross_coupled_cls")
class CrossCoupled(vFlow):
    """Two memories feed each other; a load after a save still sees the value of the step before."""

    def __init__(self):
        super().__init__()
        self.qm, self.gemm = Mean(dim=1), GeMM()
        self.load, self.save = Load(), Save()
        self.fast, self.slow = Add(alpha=0.3, beta=0.7), Add(alpha=0.9, beta=0.1)
        self.gate, self.mul, self.norm, self.add, self.topk = Sigmoid(0.0, -1.0), Multiply(), Normalize(), Add(), topK()
        self.cm, self.zero, self.one = CMean(dim=1), CFill(), CFill(alpha=1.0)

    def create_cache(self, block_size, head_dim):
        return {"fast": (1, 1), "c": (1, head_dim), "slow": (1, 1)}

    def forward_cache(self, cache, loc, ctx):
        self.cm(cache["k"], cache["c"], loc=loc, ctx=ctx)
        self.zero(cache["fast"], loc=loc, ctx=ctx)
        self.one(cache["slow"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        now = self.gemm(self.qm(q, ctx=ctx), cache["c"], ctx=ctx)
        slow = self.load(cache["slow"], ctx=ctx)
        fast = self.fast(slow, now, ctx=ctx)
        self.save(fast, cache["fast"], ctx=ctx)
        before = self.load(cache["fast"], ctx=ctx)
        self.save(self.slow(slow, before, ctx=ctx), cache["slow"], ctx=ctx)
        gated = self.mul(fast, self.gate(before, ctx=ctx), ctx=ctx)
        self.topk(self.add(self.norm(gated, ctx=ctx), self.norm(slow, ctx=ctx), ctx=ctx), o, ctx=ctx)
