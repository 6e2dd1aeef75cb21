"""One family: the rotary channels weigh B, the others 1 - B."""
from vortex_torch.cache import Mean as CMean
from vortex_torch.flow import register, vFlowMLA
from vortex_torch.indexer import GeMM, MaskSlice, Mean, Multiply, topK

NOPE_DIM = 512


class Weighted(vFlowMLA):
    B = 0.5

    def __init__(self):
        super().__init__()
        self.heads, self.times, self.gemm, self.topk = Mean(dim=1), Multiply(), GeMM(), topK()
        self.weights = MaskSlice(0, NOPE_DIM, dim=2, alpha=1.0 - self.B, beta=self.B)
        self.mean = CMean(dim=1)

    def create_cache(self, block_size, kv_lora_rank, qk_rope_head_dim):
        return {"centroids": (1, kv_lora_rank + qk_rope_head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.mean(cache["latent"], cache["centroids"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        query = self.heads(q, ctx=ctx)
        query = self.times(query, self.weights(query, ctx=ctx), ctx=ctx)
        self.topk(self.gemm(query, cache["centroids"], ctx=ctx), o, ctx=ctx)


@register("rope_weighted_block_sparse_mla_b10")
class WeightedB10(Weighted):
    B = 0.10


@register("rope_weighted_block_sparse_mla_b25")
class WeightedB25(Weighted):
    B = 0.25


@register("rope_weighted_block_sparse_mla_b50")
class WeightedB50(Weighted):
    B = 0.50


@register("rope_weighted_block_sparse_mla_b75")
class WeightedB75(Weighted):
    B = 0.75


@register("rope_weighted_block_sparse_mla_b90")
class WeightedB90(Weighted):
    B = 0.90


@register("rope_weighted_block_sparse_mla_b100")
class WeightedB100(Weighted):
    B = 1.00
