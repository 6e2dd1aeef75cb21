from vortex_torch.cache import Exp as CExp, L2Norm as CL2Norm, Max as CMax, Sigmoid as CSigmoid
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Load, Log, Normalize, topK


@register("agent_values_only_cls")
class ValuesOnly(vFlow):
    """The query is never asked: the blocks with the longest value win, at every step the same."""

    def __init__(self):
        super().__init__()
        self.len, self.max, self.exp = CL2Norm(dim=2), CMax(dim=1), CExp(beta=0.5)
        self.load, self.log, self.norm, self.topk = Load(), Log(alpha=1e-6, beta=1.0), Normalize(), topK()

    def create_cache(self, block_size, head_dim):
        return {"longest": (1, 1)}

    def forward_cache(self, cache, loc, ctx):
        lengths = self.len(cache["v"], None, loc=loc, ctx=ctx)
        self.exp(self.max(lengths, None, loc=loc, ctx=ctx), cache["longest"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        self.topk(self.norm(self.log(self.load(cache["longest"], ctx=ctx), ctx=ctx), ctx=ctx), o, ctx=ctx)
