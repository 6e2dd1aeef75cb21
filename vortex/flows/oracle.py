"""Control: the blocks of the largest exact attention mass, mean over the group's heads; as dear as dense attention."""
from vortex import ops, register, vFlow


@register("oracle")
class Oracle(vFlow):
    def forward_indexer(self, q, cache):
        return ops.topk(ops.mass())
