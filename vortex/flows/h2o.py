"""Heavy hitters: attention mass gathered over decode steps, fading slowly (after H2O, Zhang et al., arXiv 2306.14048).

H2O evicts what is light; here every block stays and may come back.
"""
from vortex import ops, register, vFlow


@register("h2o")
class HeavyHitters(vFlow):
    FADING = 0.984375

    def forward_indexer(self, q, cache):
        logits = q @ cache["k"].T * self.head_dim ** -0.5
        mass = ops.over_group(logits.logsumexp(dim=2), by="softmax")
        heavy = mass + cache.state("heavy", first=0.0) * self.FADING
        cache["heavy"] = heavy
        return ops.topk(heavy)
