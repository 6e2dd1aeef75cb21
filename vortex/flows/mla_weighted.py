"""The centroid on latents, content and rotary part weighed against each other; the upstream ships shares of .1 to 1."""
from vortex import ops, register, vFlowMLA


@register("mla-weighted", "rope_weighted_block_sparse_mla_b50")
class LatentWeighted(vFlowMLA):
    ROPE = 0.5

    def forward_cache(self, cache):
        cache["centroid"] = cache["latent"].mean(dim=1)

    def forward_indexer(self, q, cache):
        mean = q.mean(dim=1)
        weighed = mean * ops.mask(mean, 0, self.kv_lora_rank, dim=2, inside=1.0 - self.ROPE, outside=self.ROPE)
        return ops.topk(weighed @ cache["centroid"].T)
