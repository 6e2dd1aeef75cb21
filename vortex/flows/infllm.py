"""InfLLM: a few tokens stand for their block, here those most like the rest of it (Xiao et al., arXiv 2402.04617).

The paper picks the tokens that their neighbours attend to; a page knows its keys alone, so likeness stands in for that.
"""
from vortex import ops, register, vFlow


@register("infllm")
class InfLLM(vFlow):
    TOKENS = 4

    def forward_cache(self, cache):
        likeness = cache["k"].mean(dim=1) @ cache["k"].T
        cache["tokens"] = cache["k"].take(ops.largest(likeness, self.TOKENS), dim=1)

    def forward_indexer(self, q, cache):
        return ops.topk((q.mean(dim=1) @ cache["tokens"].T).sum(dim=2))
