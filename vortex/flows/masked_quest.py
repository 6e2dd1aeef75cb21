"""Quest without the first 8 channels, whose rotation is the fastest (after Tang et al., arXiv 2406.10774)."""
from vortex import ops, register, vFlow


@register("masked-quest", "masked_quest_sparse_attention")
class MaskedQuest(vFlow):
    MASKED = 8

    def forward_cache(self, cache):
        cache["hi"] = cache["k"].max(dim=1)
        cache["lo"] = cache["k"].min(dim=1)

    def forward_indexer(self, q, cache):
        bound = ops.maximum(q * cache["hi"], q * cache["lo"])
        kept = bound * ops.mask(bound, 0, self.MASKED, dim=2, inside=0.0, outside=1.0)
        return ops.topk(kept.sum(dim=2).max(dim=1))
