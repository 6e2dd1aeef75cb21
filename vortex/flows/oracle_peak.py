"""Control: the blocks of the largest exact q.k, over the block's tokens and the group's heads; reads every key."""
from vortex import ops, register, vFlow


@register("oracle-peak")
class OraclePeak(vFlow):
    def forward_indexer(self, q, cache):
        return ops.topk((q @ cache["k"].T).max(dim=2).max(dim=1))
