import torch

from vortex_torch.cache import Mean as CMean, MeanInterleave
from vortex_torch.flow import register, vFlowMLA
from vortex_torch.indexer import GeMM, GeMV, Max, Mean, topK


@register("rope_aware_block_sparse_mla")
class RopeAware(vFlowMLA):
    def __init__(self):
        super().__init__()
        self.heads = Mean(dim=1)
        self.dot = GeMV()
        self.topk = topK()
        self.mean = CMean(dim=1)

    def create_cache(self, block_size: int, kv_lora_rank: int, qk_rope_head_dim: int):
        return {"centroids": (1, kv_lora_rank + qk_rope_head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.mean(cache["latent"], cache["centroids"], loc=loc, ctx=ctx)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache, ctx):
        self.topk(self.dot(self.heads(q, ctx=ctx), cache["centroids"], ctx=ctx), o, ctx=ctx)


@register("lserve_centroid_mla")
class LServeCentroidLatent(vFlowMLA):
    """Sub-centroids of sixteen tokens; a block is as good as its best."""

    SUB = 16

    def __init__(self):
        super().__init__()
        self.heads, self.gemm, self.max, self.topk = Mean(dim=1), GeMM(), Max(dim=1), topK()
        self.mean = MeanInterleave(dim=1, k=self.SUB)

    def create_cache(self, block_size, kv_lora_rank, qk_rope_head_dim):
        return {"centroids": (block_size // self.SUB, kv_lora_rank + qk_rope_head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.mean(cache["latent"], cache["centroids"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        query = self.heads(q, ctx=ctx)
        scores = self.gemm(query, cache["centroids"], ctx=ctx)
        self.topk(self.max(scores, ctx=ctx), o, ctx=ctx)
