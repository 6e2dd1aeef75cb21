"""Oracle by the largest attention logit: the blocks that hold the best single keys. It keeps a copy of every key."""
from vortex import ops, register, vFlow


@register("oracle-peak")
class OraclePeak(vFlow):
    def forward_cache(self, cache):
        cache["keys"] = cache["k"]

    def forward_indexer(self, q, cache):
        logits = q @ cache["keys"].T
        return ops.topk(logits.max(dim=1).max(dim=2))
