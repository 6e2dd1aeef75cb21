"""TidalDecode: a few layers score exactly, the others read what those chose (Yang et al., arXiv 2410.05076)."""
from vortex import ops, register, vFlow


@register("tidaldecode")
class TidalDecode(vFlow):
    def forward_indexer(self, q, cache):
        logits = q @ cache["k"].T * self.head_dim ** -0.5
        return ops.topk(ops.over_group(logits.logsumexp(dim=2), by="softmax"))
