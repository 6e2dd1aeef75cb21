from vortex_torch.cache import MeanInterleave
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import GeMM, Max, Mean, topK


@register("lserve_centroid_sparse_attention")
class LServeCentroid(vFlow):
    SUB_BLOCK_SIZE = 16

    def __init__(self):
        super().__init__()
        self.q_mean = Mean(dim=1)
        self.gemm = GeMM()
        self.max = Max(dim=1)
        self.topk = topK()
        self.sub = MeanInterleave(dim=1, k=self.SUB_BLOCK_SIZE)

    def create_cache(self, block_size, head_dim):
        return {"centroids": (block_size // self.SUB_BLOCK_SIZE, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.sub(cache["k"], cache["centroids"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        query = self.q_mean(q, ctx=ctx)
        s = self.gemm(query, cache["centroids"], ctx=ctx)   # [S, r, 1]
        s = self.max(s, ctx=ctx)
        self.topk(s, o, ctx=ctx)
