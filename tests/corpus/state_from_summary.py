from vortex_torch.cache import L2Norm as CL2Norm, Max as CMax, Mean as CMean
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add, GeMV, Mean, Save, topK


@register("agent_state_from_summary_cls")
class StateFromSummary(vFlow):
    """The memory of a block begins at the longest of its keys, not at nought."""

    def __init__(self):
        super().__init__()
        self.qm, self.dot = Mean(dim=1), GeMV()
        self.remember, self.save, self.topk = Add(alpha=0.6, beta=0.4), Save(), topK()
        self.cm, self.norm, self.longest = CMean(dim=1), CL2Norm(dim=2), CMax(dim=1)

    def create_cache(self, block_size, head_dim):
        return {"c": (1, head_dim), "memory": (1, 1)}

    def forward_cache(self, cache, loc, ctx):
        self.cm(cache["k"], cache["c"], loc=loc, ctx=ctx)
        self.longest(self.norm(cache["k"], None, loc=loc, ctx=ctx), cache["memory"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        now = self.dot(self.qm(q, ctx=ctx), cache["c"], ctx=ctx)
        score = self.remember(cache["memory"], now, ctx=ctx)       # the field read without a Load
        self.save(score, cache["memory"], ctx=ctx)
        self.topk(score, o, ctx=ctx)
