from vortex_torch.cache import Fill as CFill, Max as CMax, Mean as CMean, Min as CMin
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add, GeMV, Load, Max, Maximum, Mean, Multiply, Save, Sum, TopK, Union, topK


@register("agent_union_with_state_cls")
class UnionWithState(vFlow):
    """One list by what is hot now, one by what has been hot for long."""

    def __init__(self):
        super().__init__()
        self.qm, self.dot = Mean(dim=1), GeMV()
        self.hi, self.lo, self.larger, self.sum, self.best = Multiply(), Multiply(), Maximum(), Sum(dim=2), Max(dim=1)
        self.load, self.save, self.ema = Load(), Save(), Add(alpha=0.75, beta=0.25)
        self.now, self.long, self.union = TopK(1), TopK(k=3), Union()
        self.c = {"c": CMean(dim=1), "hi": CMax(dim=1), "lo": CMin(dim=1)}
        self.fill = CFill(alpha=1.0)

    def create_cache(self, block_size, head_dim):
        fields = {name: (1, head_dim) for name in self.c}
        fields["history"] = (1, 1)
        return fields

    def forward_cache(self, cache, loc, ctx):
        for name in self.c:
            self.c[name](cache["k"], cache[name], loc=loc, ctx=ctx)
        self.fill(cache["history"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        bound = self.larger(self.hi(q, cache["hi"], ctx=ctx), self.lo(q, cache["lo"], ctx=ctx), ctx=ctx)
        now = self.best(self.sum(bound, ctx=ctx), ctx=ctx)
        average = self.dot(self.qm(q, ctx=ctx), cache["c"], ctx=ctx)
        history = self.ema(self.load(cache["history"], ctx=ctx), average, ctx=ctx)
        self.save(history, cache["history"], ctx=ctx)
        recent = self.now(now, ctx=ctx)
        self.union(recent, self.long(history, ctx=ctx), o, ctx=ctx)
