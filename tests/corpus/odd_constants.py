from vortex_torch.cache import (
    Abs as CAbs, Add_Mul as CAddMul, Exp as CExp, Log as CLog, Mean as CMean, Relu as CRelu, Sigmoid as CSigmoid, Silu as CSilu,
)
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Abs, Add, Add_Mul, Exp, GeMV, Log, Mean, Multiply, Relu, Sigmoid, Silu, topK


@register("agent_odd_constants_cls")
class OddConstants(vFlow):
    """Every function of one number with constants that nobody would choose, on both sides."""

    def __init__(self):
        super().__init__()
        self.cm = CMean(dim=1)
        self.stored = [CSigmoid(alpha=0.3, beta=-0.7), CSilu(alpha=-0.1, beta=-1.3), CExp(alpha=-0.5, beta=0.25),
                       CAddMul(alpha=0.125, beta=-3.0), CAbs(alpha=0.2, beta=1.5), CRelu(alpha=-0.2, beta=0.9),
                       CLog(alpha=40.0, beta=2.0)]
        self.step = [Sigmoid(alpha=0.0, beta=-0.02), Silu(alpha=0.0, beta=-1.0), Exp(alpha=0.1, beta=-0.3),
                     Add_Mul(alpha=0.0, beta=-1.0), Abs(alpha=-0.4), Relu(alpha=0.25, beta=-0.75), Log(alpha=60.0, beta=1.0)]
        self.qm, self.topk = Mean(dim=1), topK()

    def create_cache(self, block_size, head_dim):
        return {f"f{i}": (1, head_dim) for i in range(len(self.stored))}

    def forward_cache(self, cache, loc, ctx):
        average = self.cm(cache["k"], None, loc=loc, ctx=ctx)
        for i, op in enumerate(self.stored):
            op(average, cache[f"f{i}"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        qm = self.qm(q, ctx=ctx)
        score = GeMV()(qm, cache["f0"], ctx=ctx)
        for i, op in enumerate(self.step):
            term = op(GeMV()(qm, cache[f"f{i}"], ctx=ctx), ctx=ctx)
            score = Add(alpha=1.0, beta=1.0 / (i + 1))(score, term, ctx=ctx)
        self.topk(score, o, ctx=ctx)
