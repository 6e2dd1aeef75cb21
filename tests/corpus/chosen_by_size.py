from vortex_torch.cache import Max as CMax, MaxInterleave, Mean as CMean, MeanInterleave
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import GeMM, Max, Mean, Add, topK


@register("agent_chosen_by_size_cls")
class ChosenBySize(vFlow):
    """Large blocks keep several rows, small ones one; large groups are averaged first, small ones scored head by head."""

    ROWS = {16: 1, 32: 2, 64: 4}

    def __init__(self):
        super().__init__()
        self.qm, self.gemm, self.by_rows, self.by_heads = Mean(dim=1), GeMM(), Max(dim=1), Max(dim=2)
        self.add, self.topk = Add(beta=0.1), topK()
        self.rows = 1

    def create_cache(self, block_size, head_dim):
        self.rows = self.ROWS.get(block_size, max(1, block_size >> 4))
        self.reduce = CMean(dim=1) if self.rows == 1 else MeanInterleave(dim=1, k=block_size // self.rows)
        self.peaks = CMax(dim=1) if self.rows == 1 else MaxInterleave(dim=1, k=block_size // self.rows)
        return {"c": (self.rows, head_dim), "hi": (self.rows, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.reduce(cache["k"], cache["c"], loc=loc, ctx=ctx)
        self.peaks(cache["k"], cache["hi"], loc=loc, ctx=ctx)

    def scored(self, query, field, ctx):
        s = self.gemm(query, field, ctx=ctx)
        if s.shape[1] > 1:
            s = self.by_rows(s, ctx=ctx)
        return self.by_heads(s, ctx=ctx) if s.shape[2] > 1 else s

    def forward_indexer(self, q, o, cache, ctx):
        heads = q.shape[1]
        query = self.qm(q, ctx=ctx) if heads > 4 and heads % 2 == 0 else q
        score = self.scored(query, cache["c"], ctx)
        score = self.add(score, self.scored(query, cache["hi"], ctx), ctx=ctx)
        self.topk(score, o, ctx=ctx)
