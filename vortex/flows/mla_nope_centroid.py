"""The centroid on latents without their rotary part: content alone is compared."""
from vortex import ops, register, vFlowMLA


@register("mla-nope-centroid", "rope_unaware_block_sparse_mla")
class LatentContent(vFlowMLA):
    def forward_cache(self, cache):
        cache["centroid"] = cache["latent"].mean(dim=1)

    def forward_indexer(self, q, cache):
        mean = q.mean(dim=1)
        content = mean * ops.mask(mean, 0, self.kv_lora_rank, dim=2)
        return ops.topk(content @ cache["centroid"].T)
