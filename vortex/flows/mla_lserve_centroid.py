"""Centroids of 16 latents each, the best of which speaks for the block (LServe's pages, arXiv 2502.14866, on MLA)."""
from vortex import ops, register, vFlowMLA


@register("mla-lserve-centroid", "lserve_centroid_mla")
class LatentLServeCentroid(vFlowMLA):
    PAGE = 16

    def forward_cache(self, cache):
        cache["centroids"] = cache["latent"].mean(dim=1, every=self.PAGE)

    def forward_indexer(self, q, cache):
        return ops.topk((q.mean(dim=1) @ cache["centroids"].T).max(dim=2))
