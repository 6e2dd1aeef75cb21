from vortex_torch.cache import (
    Add as CAdd, Maximum as CMaximum, Mean as CMean, Max as CMax, Minimum as CMinimum, Min as CMin, Multiply as CMul,
    WhereEqual, WhereGreater, WhereGreaterEqual, WhereLess, WhereLessEqual, WhereNotEqual,
)
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import GeMV, Maximum, Mean, topK


@register("agent_gates_cache_side_cls")
class TrimmedMeans(vFlow):
    """Means of the keys above and below their centroid, each clipped at a bound, and the six gates."""

    def __init__(self):
        super().__init__()
        self.cm, self.low, self.high = CMean(dim=1), CMinimum(), CMaximum()
        self.gates = [WhereGreater(), WhereLess(), WhereGreaterEqual(), WhereLessEqual(), WhereEqual(), WhereNotEqual()]
        self.add, self.top, self.bottom, self.mean = CAdd(), CMax(dim=1), CMin(dim=1), CMean(dim=1)
        self.clip, self.mul = CMaximum(), CMul()
        self.qm, self.dot, self.best, self.topk = Mean(dim=1), GeMV(), Maximum(), topK()

    def create_cache(self, block_size, head_dim):
        self.names = tuple(f"gate_{i}" for i, _ in enumerate(self.gates))
        return {"c": (1, head_dim), **{name: (1, head_dim) for name in self.names}}

    def forward_cache(self, cache, loc, ctx):
        c = self.cm(cache["k"], cache["c"], loc=loc, ctx=ctx)
        bottom = self.bottom(cache["k"], None, loc=loc, ctx=ctx)
        for gate, name in zip(self.gates, self.names):
            closed = gate(cache["k"], c, None, loc=loc, ctx=ctx)
            kept = self.add(cache["k"], closed, None, loc=loc, ctx=ctx)
            clipped = self.clip(kept, bottom, None, loc=loc, ctx=ctx)
            self.mean(clipped, cache[name], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        qm = self.qm(q, ctx=ctx)
        score = self.dot(qm, cache["c"], ctx=ctx)
        for name in self.names:
            score = self.best(score, self.dot(qm, cache[name], ctx=ctx), ctx=ctx)
        self.topk(score, o, ctx=ctx)
