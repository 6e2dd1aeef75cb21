"""The centroid's score with a memory: half of the last step's score is added to this step's."""
from vortex import ops, register, vFlow


@register("running-average", "running_avg_block_sparse")
class RunningAverage(vFlow):
    DECAY = 0.5

    def forward_cache(self, cache):
        cache["centroid"] = cache["k"].mean(dim=1)

    def forward_indexer(self, q, cache):
        score = cache.state("score", first=0.0) * self.DECAY + q.mean(dim=1) @ cache["centroid"].T
        cache["score"] = score
        return ops.topk(score)
