"""LServe: Quest's bound on logical pages of 16 tokens, the best of them counts (Yang et al., arXiv 2502.14866)."""
from vortex import ops, register, vFlow


@register("lserve", "lserve_sparse_attention")
class LServe(vFlow):
    PAGE = 16

    def forward_cache(self, cache):
        cache["hi"] = cache["k"].max(dim=1, every=self.PAGE)
        cache["lo"] = cache["k"].min(dim=1, every=self.PAGE)

    def forward_indexer(self, q, cache):
        bound = ops.maximum(ops.kron(q, cache["hi"], dim=1), ops.kron(q, cache["lo"], dim=1))
        return ops.topk(bound.sum(dim=2).max(dim=1))
