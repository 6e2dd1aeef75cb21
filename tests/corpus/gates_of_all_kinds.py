from vortex_torch.cache import Max as CMax, Mean as CMean, Min as CMin
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import (
    Add, Add_Mul, GeMV, Max, Maximum, Mean, Min, Minimum, WhereEqual, WhereGreaterEqual, WhereLess, WhereLessEqual,
    WhereNotEqual, topK,
)


@register("agent_gates_of_all_kinds_cls")
class Gates(vFlow):
    """A chain of gates against statistics of the sequence; each moves the score by what it lets through."""

    def __init__(self):
        super().__init__()
        self.qm, self.dot = Mean(dim=1), GeMV()
        self.average, self.highest, self.lowest = Mean(dim=0), Max(dim=0), Min(dim=0)
        self.gates = [WhereGreaterEqual(), WhereLess(), WhereLessEqual(), WhereNotEqual(), WhereEqual()]
        self.bounded = [Maximum() for _ in range(5)]
        self.floor = Add_Mul(alpha=-0.5, beta=0.0)
        self.sums = [Add(alpha=1.0, beta=0.5 ** i) for i in range(5)]
        self.half, self.topk = Minimum(), topK()
        self.cm, self.cmax, self.cmin = CMean(dim=1), CMax(dim=1), CMin(dim=1)

    def create_cache(self, block_size, head_dim):
        return {"c": (1, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.cm(cache["k"], cache["c"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        score = self.dot(self.qm(q, ctx=ctx), cache["c"], ctx=ctx)
        mean, top, low = (op(score, ctx=ctx) for op in (self.average, self.highest, self.lowest))
        floor = self.floor(score, ctx=ctx)
        total = score
        for gate, bound, add, level in zip(self.gates, self.bounded, self.sums, (mean, mean, top, low, top)):
            held = bound(gate(score, level, ctx=ctx), floor, ctx=ctx)        # 0 or -0.5
            total = add(total, held, ctx=ctx)
        self.topk(self.half(total, top, ctx=ctx), o, ctx=ctx)
