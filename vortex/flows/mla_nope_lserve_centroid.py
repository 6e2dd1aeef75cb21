"""Centroids of 16 latents each, compared without the rotary part."""
from vortex import ops, register, vFlowMLA


@register("mla-nope-lserve-centroid", "rope_unaware_lserve_centroid_mla")
class LatentContentPages(vFlowMLA):
    PAGE = 16

    def forward_cache(self, cache):
        cache["centroids"] = cache["latent"].mean(dim=1, every=self.PAGE)

    def forward_indexer(self, q, cache):
        mean = q.mean(dim=1)
        content = mean * ops.mask(mean, 0, self.kv_lora_rank, dim=2)
        return ops.topk((content @ cache["centroids"].T).max(dim=2))
