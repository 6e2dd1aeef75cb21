"""Mean keys of logical pages of 16 tokens, the best of them counts (after LServe, Yang et al., arXiv 2502.14866)."""
from vortex import ops, register, vFlow


@register("lserve-centroid", "lserve_centroid_sparse_attention")
class LServeCentroid(vFlow):
    PAGE = 16

    def forward_cache(self, cache):
        cache["centroids"] = cache["k"].mean(dim=1, every=self.PAGE)

    def forward_indexer(self, q, cache):
        return ops.topk((cache["centroids"] @ q.mean(dim=1).T).max(dim=1))
