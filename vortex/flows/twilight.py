"""Twilight: as many blocks as hold 85 % of the mass, estimated on 4-bit keys (Lin et al., arXiv 2502.02770).

The operating point's budget is the base selector's: it caps what top-p may take.
"""
from vortex import ops, register, vFlow


@register("twilight")
class Twilight(vFlow):
    P = 0.85

    def forward_cache(self, cache):
        cache["keys"] = cache["k"].quantize("int4")

    def forward_indexer(self, q, cache):
        logits = q @ cache["keys"].T * self.head_dim ** -0.5
        share = ops.over_group(logits.logsumexp(dim=2), by="softmax")
        return ops.top_p(share.log(), self.P)
