from vortex_torch.cache import Mean as CMean
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import GeMV, Log, Mean, topK


@register("agent_log_of_negatives_cls")
class LogOfNegatives(vFlow):
    """Half of the scores are no numbers: they come last."""

    def __init__(self):
        super().__init__()
        self.qm, self.dot, self.log, self.topk, self.cm = Mean(dim=1), GeMV(), Log(), topK(), CMean(dim=1)

    def create_cache(self, block_size, head_dim):
        return {"c": (1, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.cm(cache["k"], cache["c"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        self.topk(self.log(self.dot(self.qm(q, ctx=ctx), cache["c"], ctx=ctx), ctx=ctx), o, ctx=ctx)
