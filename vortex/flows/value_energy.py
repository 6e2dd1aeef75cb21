"""The centroid's score, weighed by the mean length of the block's values: what is attended must also carry."""
from vortex import ops, register, vFlow


@register("value-energy", "venergy_gated_centroid")
class ValueEnergy(vFlow):
    def forward_cache(self, cache):
        cache["centroid"] = cache["k"].mean(dim=1)
        cache["energy"] = cache["v"].norm(dim=2).mean(dim=1)

    def forward_indexer(self, q, cache):
        return ops.topk(q.mean(dim=1) @ cache["centroid"].T * cache["energy"])
