"""Control: the most recent blocks only."""
from vortex import ops, register, vFlow


@register("recent")
class Recent(vFlow):
    def forward_indexer(self, q, cache):
        return ops.topk(ops.position())
