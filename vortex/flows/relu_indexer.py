"""The indexer of DeepSeek Sparse Attention on 8-bit keys: heads add what is positive (DeepSeek-V3.2, 2025).

The trained indexer has projections and head weights of its own; here the model's heads count alike.
"""
from vortex import ops, register, vFlow


@register("relu-indexer")
class ReluIndexer(vFlow):
    def forward_cache(self, cache):
        cache["keys"] = cache["k"].quantize("fp8")

    def forward_indexer(self, q, cache):
        return ops.topk((q @ cache["keys"].T).relu().sum(dim=1).max(dim=2))
