"""Mean key: the mean query against the mean key of each block; the plain baseline of block-sparse attention."""
from vortex import ops, register, vFlow


@register("centroid", "block_sparse_attention")
class Centroid(vFlow):
    def forward_cache(self, cache):
        cache["centroid"] = cache["k"].mean(dim=1)

    def forward_indexer(self, q, cache):
        return ops.topk(q.mean(dim=1) @ cache["centroid"].T)
