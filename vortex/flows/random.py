"""Control: blocks drawn at random, anew at every step."""
from vortex import ops, register, vFlow


@register("random")
class Random(vFlow):
    def forward_indexer(self, q, cache):
        return ops.topk(ops.random())
