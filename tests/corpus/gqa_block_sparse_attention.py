from vortex_torch.cache import Mean as CMean
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import GeMM, Max, Softmax, topK


@register("gqa_block_sparse_attention")
class GqaBlockSparse(vFlow):
    def __init__(self):
        super().__init__()
        self.gemm = GeMM()
        self.softmax = Softmax(dim=0, scale=0.09)
        self.over_heads = Max(dim=2)
        self.select = topK()
        self.mean = CMean(dim=1)

    def create_cache(self, block_size, head_dim):
        return {"centroids": (1, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.mean(cache["k"], cache["centroids"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        logits = self.gemm(q, cache["centroids"], ctx=ctx)      # [S, 1, H]
        shares = self.softmax(logits, ctx=ctx)
        best = self.over_heads(shares, ctx=ctx)                 # [S, 1, 1]
        self.select(best, o, ctx=ctx)
