"""Loki: keys and queries turned to the keys' principal directions, of which few are kept (Singhania et al., arXiv 2406.02542).

loki.safetensors is the shipped probe's; `vortex calibrate loki` makes one for another model.
"""
from vortex import ops, register, vFlow


@register("loki")
class Loki(vFlow):
    def forward_cache(self, cache):
        cache["low"] = cache["k"] @ ops.param("loki.safetensors", "basis")

    def forward_indexer(self, q, cache):
        low = q @ ops.param("loki.safetensors", "basis")
        return ops.topk((low @ cache["low"].T).max(dim=2).max(dim=1))
