"""Quest: an upper bound of q.k per block from the envelope of its keys (Tang et al., arXiv 2406.10774)."""
from vortex import ops, register, vFlow


@register("quest", "gqa_quest_sparse_attention")
class Quest(vFlow):
    def forward_cache(self, cache):
        cache["hi"] = cache["k"].max(dim=1)
        cache["lo"] = cache["k"].min(dim=1)

    def forward_indexer(self, q, cache):
        bound = ops.maximum(q * cache["hi"], q * cache["lo"])
        return ops.topk(bound.sum(dim=2).max(dim=1))
