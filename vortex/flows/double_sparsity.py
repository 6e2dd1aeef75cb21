"""Double Sparsity: each head's few strongest channels, found offline, stand for the keys (Yang et al., arXiv 2408.07092).

double_sparsity.safetensors is the shipped probe's; `vortex calibrate double-sparsity` makes one for another model.
"""
from vortex import ops, register, vFlow


@register("double-sparsity")
class DoubleSparsity(vFlow):
    def forward_cache(self, cache):
        cache["label"] = cache["k"].take(ops.param("double_sparsity.safetensors", "channels"), dim=2)

    def forward_indexer(self, q, cache):
        part = q.take(ops.param("double_sparsity.safetensors", "channels"), dim=2)
        return ops.topk((part @ cache["label"].T).max(dim=2).max(dim=1))
