"""RocketKV's page stage: Quest's bound on the query's strongest channels, heads voting (Behnam et al., arXiv 2502.14051)."""
from vortex import ops, register, vFlow


@register("rocketkv")
class RocketKV(vFlow):
    SHARE = 8

    def forward_cache(self, cache):
        cache["hi"] = cache["k"].max(dim=1)
        cache["lo"] = cache["k"].min(dim=1)

    def forward_indexer(self, q, cache):
        strong = ops.largest(q.abs().sum(dim=1), max(1, self.head_dim // self.SHARE))
        part = q.take(strong, dim=2)
        ends = ops.where(part >= 0.0, cache["hi"].take(strong, dim=2), cache["lo"].take(strong, dim=2))
        weight = part.abs().sum(dim=2) / q.abs().sum(dim=2)
        logits = (part * ends).sum(dim=2) / (weight * self.head_dim).sqrt()
        return ops.topk(ops.over_group(logits, by="softmax"))
