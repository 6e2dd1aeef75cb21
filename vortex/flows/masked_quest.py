"""Quest without the first 8 channels, whose rotation is the fastest (after Tang et al., arXiv 2406.10774)."""
from vortex import ops, register, vFlow


@register("masked-quest", "masked_quest_sparse_attention")
class MaskedQuest(vFlow):
    MASKED = 8

    def forward_cache(self, cache):
        cache["hi"] = cache["k"][..., self.MASKED:].max(dim=1)
        cache["lo"] = cache["k"][..., self.MASKED:].min(dim=1)

    def forward_indexer(self, q, cache):
        query = q[..., self.MASKED:]
        bound = ops.maximum(query * cache["hi"], query * cache["lo"])
        return ops.topk(bound.sum(dim=2).max(dim=1))
