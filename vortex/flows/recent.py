"""Control: sinks and the most recent blocks only, StreamingLLM by blocks (Xiao et al., arXiv 2309.17453)."""
from vortex import ops, register, vFlow


@register("recent", "streaming-llm")
class Recent(vFlow):
    def forward_indexer(self, q, cache):
        return ops.topk(ops.position())
