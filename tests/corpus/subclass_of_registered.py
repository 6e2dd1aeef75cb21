from vortex_torch.cache import L2Norm as CL2Norm
from vortex_torch.cache import Mean as CMean
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import GeMV, Mean, Multiply, topK


@register("agent_plain_centroid_cls")
class PlainCentroid(vFlow):
    def __init__(self):
        super().__init__()
        self.q_mean = Mean(dim=1)
        self.dot = GeMV()
        self.topk = topK()
        self.c_mean = CMean(dim=1)

    def create_cache(self, block_size, head_dim):
        return {"centroids": (1, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.c_mean(cache["k"], cache["centroids"], loc=loc, ctx=ctx)

    def score(self, q, cache, ctx):
        return self.dot(self.q_mean(q, ctx=ctx), cache["centroids"], ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        self.topk(self.score(q, cache, ctx), o, ctx=ctx)


@register("agent_lengthened_centroid_cls")
class LengthenedCentroid(PlainCentroid):
    """The parent's score times the length of the block's mean value."""

    def __init__(self):
        super().__init__()
        self.length, self.times, self.v_mean = CL2Norm(dim=2), Multiply(), CMean(dim=1)

    def create_cache(self, block_size, head_dim):
        fields = super().create_cache(block_size, head_dim)
        fields["v_length"] = (1, 1)
        return fields

    def forward_cache(self, cache, loc, ctx):
        super().forward_cache(cache, loc, ctx)
        average = self.v_mean(cache["v"], None, loc=loc, ctx=ctx)
        self.length(average, cache["v_length"], loc=loc, ctx=ctx)

    def score(self, q, cache, ctx):
        plain = super().score(q, cache, ctx)
        return self.times(plain, cache["v_length"], ctx=ctx)
