"""The centroid on latents: the absorbed mean query against each block's mean latent."""
from vortex import ops, register, vFlowMLA


@register("mla-centroid", "rope_aware_block_sparse_mla")
class LatentCentroid(vFlowMLA):
    def forward_cache(self, cache):
        cache["centroid"] = cache["latent"].mean(dim=1)

    def forward_indexer(self, q, cache):
        return ops.topk(q.mean(dim=1) @ cache["centroid"].T)
