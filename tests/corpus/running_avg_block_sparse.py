from vortex_torch.cache import Fill as CFill, Mean as CMean
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add, GeMV, Load, Mean, Save, topK

ALPHA = 0.5


@register("running_avg_block_sparse")
class RunningAverage(vFlow):
    """A block's score decays from step to step instead of being forgotten."""

    def __init__(self):
        super().__init__()
        self.q_mean = Mean(dim=1)
        self.gemv = GeMV()
        self.load = Load()
        self.blend = Add(alpha=ALPHA, beta=1.0)
        self.save = Save()
        self.topk = topK()
        self.c_mean = CMean(dim=1)
        self.c_fill = CFill(alpha=0.0)

    def create_cache(self, block_size, head_dim):
        return {"centroids": (1, head_dim), "running_score": (1, 1)}

    def forward_cache(self, cache, loc, ctx):
        self.c_mean(cache["k"], cache["centroids"], loc=loc, ctx=ctx)
        self.c_fill(cache["running_score"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        now = self.gemv(self.q_mean(q, ctx=ctx), cache["centroids"], ctx=ctx)
        before = self.load(cache["running_score"], ctx=ctx)
        score = self.blend(before, now, ctx=ctx)
        self.save(score, cache["running_score"], ctx=ctx)
        self.topk(score, o, ctx=ctx)
