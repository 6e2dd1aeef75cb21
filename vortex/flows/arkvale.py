"""ArkVale: a box around the block's centre, as wide as the keys stray on average (Chen et al., NeurIPS 2024)."""
from vortex import ops, register, vFlow


@register("arkvale")
class ArkVale(vFlow):
    def forward_cache(self, cache):
        centre = cache["k"].mean(dim=1)
        reach = (cache["k"] - centre).abs().mean(dim=1)
        cache["hi"] = centre + reach
        cache["lo"] = centre - reach

    def forward_indexer(self, q, cache):
        bound = ops.maximum(q * cache["hi"], q * cache["lo"])
        return ops.topk(bound.sum(dim=2).max(dim=1))
