from vortex_torch.cache import Mean as CMean
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add, GeMM, Mean, topK


@register("centered_block_sparse_attention")
class Centered(vFlow):
    def __init__(self):
        super().__init__()
        self.gemm = GeMM()
        self.over_heads = Mean(dim=2)
        self.over_blocks = Mean(dim=0)
        self.minus = Add(alpha=1.0, beta=-1.0)
        self.topk = topK()
        self.c = CMean(dim=1)

    def create_cache(self, block_size, head_dim):
        return {"centroids": (1, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.c(cache["k"], cache["centroids"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        per_head = self.gemm(q, cache["centroids"], ctx=ctx)
        score = self.over_heads(per_head, ctx=ctx)
        level = self.over_blocks(score, ctx=ctx)
        self.topk(self.minus(score, level, ctx=ctx), o, ctx=ctx)
