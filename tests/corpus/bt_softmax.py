from vortex_torch.cache import L2Norm as CL2Norm, Mean as CMean
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import GeMV, Mean, Multiply, Softmax, topK


@register("bt_test_softmax_cls")
class SoftmaxTimesValues(vFlow):
    def __init__(self):
        super().__init__()
        self.qm = Mean(dim=1)
        self.dot_k = GeMV()
        self.dot_v = GeMV()
        self.softmax = Softmax(dim=0)
        self.mul = Multiply()
        self.topk = topK()
        self.ck = CMean(dim=1)
        self.cv = CL2Norm(dim=1)

    def create_cache(self, block_size, head_dim):
        return {"centroids": (1, head_dim), "v_norm": (1, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.ck(cache["k"], cache["centroids"], loc=loc, ctx=ctx)
        self.cv(cache["v"], cache["v_norm"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        qm = self.qm(q, ctx=ctx)
        p = self.softmax(self.dot_k(qm, cache["centroids"], ctx=ctx), ctx=ctx)
        e = self.dot_v(qm, cache["v_norm"], ctx=ctx)
        self.topk(self.mul(p, e, ctx=ctx), o, ctx=ctx)
