from vortex_torch.cache import L2NormInterleave, Max as CMax, Mean as CMean, MeanInterleave
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Abs, GeMV, GeMM, Mean, Multiply, Reshape, L2Norm, Sum, topK


@register("agent_norm_interleave_cls")
class ChannelEnergies(vFlow):
    """Energies of groups of four channels against the same groups of the query."""

    GROUP = 4

    def __init__(self):
        super().__init__()
        self.cm, self.grouped, self.one = CMean(dim=1), L2NormInterleave(dim=2, k=self.GROUP), L2NormInterleave(dim=1, k=1)
        self.sub, self.top = MeanInterleave(dim=1, k=8), CMax(dim=1)
        self.qm, self.norm, self.dot, self.abs, self.mul, self.topk = Mean(dim=1), L2Norm(dim=2), GeMV(), Abs(), Multiply(), topK()

    def create_cache(self, block_size, head_dim):
        assert head_dim % self.GROUP == 0
        return {"c": (1, head_dim), "energy": (1, head_dim // self.GROUP), "strong": (1, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        c = self.cm(cache["k"], cache["c"], loc=loc, ctx=ctx)
        self.grouped(c, cache["energy"], loc=loc, ctx=ctx)
        parts = self.sub(cache["k"], None, loc=loc, ctx=ctx)
        self.top(self.one(parts, None, loc=loc, ctx=ctx), cache["strong"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        groups = q.shape[2] // self.GROUP
        qm = self.qm(q, ctx=ctx)
        table = Reshape(-1, groups, self.GROUP)(qm, ctx=ctx)
        energy = Reshape(-1, 1, groups)(self.norm(table, ctx=ctx), ctx=ctx)
        a = self.dot(energy, cache["energy"], ctx=ctx)
        b = self.dot(self.abs(qm, ctx=ctx), cache["strong"], ctx=ctx)
        self.topk(self.mul(a, self.mul(b, self.dot(qm, cache["c"], ctx=ctx), ctx=ctx), ctx=ctx), o, ctx=ctx)
