from vortex_torch.cache import Mean as CMean, Sigmoid as CSigmoid, Silu as CSilu
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Abs, Add, GeMV, Mean, Multiply, Relu, Sigmoid, Silu, topK


@register("agent_default_constants_cls")
class DefaultConstants(vFlow):
    """As written by those who trust the names: Sigmoid() is one half and Silu() is x/2."""

    def __init__(self):
        super().__init__()
        self.qm, self.dot, self.topk = Mean(dim=1), GeMV(), topK()
        self.sig, self.silu, self.relu, self.abs = Sigmoid(), Silu(), Relu(), Abs()
        self.mul, self.a1, self.a2 = Multiply(), Add(), Add()
        self.cm, self.csig, self.csilu = CMean(dim=1), CSigmoid(), CSilu()

    def create_cache(self, block_size, head_dim):
        return {"half": (1, head_dim), "c": (1, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        mean = self.cm(cache["k"], None, loc=loc, ctx=ctx)
        self.csig(mean, cache["half"], loc=loc, ctx=ctx)
        self.csilu(mean, cache["c"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        qm = self.qm(q, ctx=ctx)
        s = self.dot(qm, cache["c"], ctx=ctx)
        s = self.a1(self.mul(s, self.sig(s, ctx=ctx), ctx=ctx), self.silu(s, ctx=ctx), ctx=ctx)
        h = self.dot(qm, cache["half"], ctx=ctx)
        s = self.a2(self.relu(s, ctx=ctx), self.mul(self.abs(s, ctx=ctx), h, ctx=ctx), ctx=ctx)
        self.topk(s, o, ctx=ctx)
