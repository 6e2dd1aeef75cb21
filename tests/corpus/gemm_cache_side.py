from vortex_torch.cache import GeMM as CGeMM, L2Norm as CL2Norm, Max as CMax, Mean as CMean, Reshape as CReshape
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add, GeMM, GeMV, Mean, Multiply, topK


@register("agent_gemm_cache_side_cls")
class SimilarityInside(vFlow):
    """How alike the keys of a block are: the products of each with the mean, laid out, their length and largest."""

    def __init__(self):
        super().__init__()
        self.cm, self.gemm, self.outer = CMean(dim=1), CGeMM(), CGeMM()
        self.flat, self.len, self.max = None, CL2Norm(dim=2), CMax(dim=2)
        self.qm, self.dot, self.add, self.mul, self.topk = Mean(dim=1), GeMV(), Add(beta=-0.05), Multiply(), topK()

    def create_cache(self, block_size, head_dim):
        self.flat = CReshape(-1, 1, block_size)
        return {"c": (1, head_dim), "alike": (1, 1), "top": (1, 1), "gram": (1, 1)}

    def forward_cache(self, cache, loc, ctx):
        c = self.cm(cache["k"], cache["c"], loc=loc, ctx=ctx)
        near = self.gemm(c, cache["k"], None, loc=loc, ctx=ctx)            # [1, block, 1]
        row = self.flat(near, None, loc=loc, ctx=ctx)
        self.len(row, cache["alike"], loc=loc, ctx=ctx)
        self.max(row, cache["top"], loc=loc, ctx=ctx)
        self.outer(cache["c"], cache["c"], cache["gram"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        s = self.dot(self.qm(q, ctx=ctx), cache["c"], ctx=ctx)
        s = self.add(s, self.mul(cache["alike"], cache["top"], ctx=ctx), ctx=ctx)
        self.topk(self.add(s, cache["gram"], ctx=ctx), o, ctx=ctx)
