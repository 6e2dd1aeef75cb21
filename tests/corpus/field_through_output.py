from vortex_torch.cache import Abs, Max, Mean, Relu
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import GeMM, Mean as IMean, Sum, topK


@register("agent_field_through_output_cls")
class ChainsThroughOutputs(vFlow):
    """What a cache op returns is the field it wrote, and the next op reads that."""

    def __init__(self):
        super().__init__()
        self.mean, self.abs, self.relu, self.max = Mean(dim=1), Abs(alpha=0.1, beta=-2.0), Relu(0.5, -0.25), Max(dim=2)
        self.qm, self.gemm, self.sum, self.topk = IMean(dim=1), GeMM(), Sum(dim=1), topK()

    def create_cache(self, block_size, head_dim):
        return {"a": (1, head_dim), "b": (1, head_dim), "m": (1, 1)}

    def forward_cache(self, cache, loc, ctx):
        a = self.mean(cache["k"], cache["a"], loc=loc, ctx=ctx)
        b = self.abs(a, output=cache["b"], loc=loc, ctx=ctx)
        kept = self.relu(b, loc=loc, ctx=ctx)
        self.max(kept, cache["m"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        qm = self.qm(q, ctx=ctx)
        s = self.gemm(cache["a"], cache["b"], ctx=ctx)                      # two fields meet
        t = self.gemm(qm, cache["b"], ctx=ctx)
        u = self.gemm(cache["m"], t, ctx=ctx)
        w = self.gemm(u, s, ctx=ctx)
        self.topk(self.sum(w, ctx=ctx), o, ctx=ctx)
