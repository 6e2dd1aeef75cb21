from vortex_torch.cache import L2Norm as CL2Norm, Mean as CMean
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import GeMV, Mean, TopK, Union


@register("bt_test_union_cls")
class TwoLists(vFlow):
    """Blocks that either of two scores likes."""

    def __init__(self):
        super().__init__()
        self.q_mean_a, self.q_mean_b = Mean(dim=1), Mean(dim=1)
        self.by_keys, self.by_values = GeMV(), GeMV()
        self.first, self.second = TopK(2), TopK(1)
        self.union = Union()
        self.keys, self.values = CMean(dim=1), CL2Norm(dim=1)

    def create_cache(self, block_size, head_dim):
        return {"centroids": (1, head_dim), "v_length": (1, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.keys(cache["k"], cache["centroids"], loc=loc, ctx=ctx)
        self.values(cache["v"], cache["v_length"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        a = self.by_keys(self.q_mean_a(q, ctx=ctx), cache["centroids"], ctx=ctx)
        b = self.by_values(self.q_mean_b(q, ctx=ctx), cache["v_length"], ctx=ctx)
        bt0, sl0 = self.first(a, ctx=ctx)
        bt1, sl1 = self.second(b, ctx=ctx)
        self.union((bt0, sl0), (bt1, sl1), o, ctx=ctx)
