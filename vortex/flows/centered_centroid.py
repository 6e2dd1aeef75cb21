"""The centroid's score less its mean over the row's blocks: the same selection, by way of a reduction over blocks."""
from vortex import ops, register, vFlow


@register("centered-centroid", "centered_block_sparse_attention")
class CenteredCentroid(vFlow):
    def forward_cache(self, cache):
        cache["centroid"] = cache["k"].mean(dim=1)

    def forward_indexer(self, q, cache):
        score = (q @ cache["centroid"].T).mean(dim=1)
        return ops.topk(score - score.mean(dim=0))
