"""Mean key per head: each head's softmax over the blocks, the best head counts (grouped-query form of the centroid)."""
from vortex import ops, register, vFlow


@register("gqa-centroid", "gqa_block_sparse_attention")
class GqaCentroid(vFlow):
    SCALE = 0.09

    def forward_cache(self, cache):
        cache["centroid"] = cache["k"].mean(dim=1)

    def forward_indexer(self, q, cache):
        share = ops.softmax(q @ cache["centroid"].T, scale=self.SCALE)
        return ops.topk(share.max(dim=1))
