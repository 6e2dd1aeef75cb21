from vortex_torch.cache import L2Norm as CL2Norm, Mean as CMean
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add, GeMV, Mean, WhereGreater, topK


@register("agent_gate_above_mean_cls")
class GateAboveMean(vFlow):
    """Only blocks whose values are livelier than the row's average may win."""

    def __init__(self):
        super().__init__()
        self.qm, self.dot, self.level = Mean(dim=1), GeMV(), Mean(dim=0)
        self.gate, self.add, self.topk = WhereGreater(), Add(), topK()
        self.cm, self.norm, self.energy = CMean(dim=1), CL2Norm(dim=2), CMean(dim=1)

    def create_cache(self, block_size, head_dim):
        return {"c": (1, head_dim), "energy": (1, 1)}

    def forward_cache(self, cache, loc, ctx):
        self.cm(cache["k"], cache["c"], loc=loc, ctx=ctx)
        self.energy(self.norm(cache["v"], None, loc=loc, ctx=ctx), cache["energy"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        score = self.dot(self.qm(q, ctx=ctx), cache["c"], ctx=ctx)
        doubled = self.add(cache["energy"], cache["energy"], ctx=ctx)       # two fields, one op
        level = self.level(doubled, ctx=ctx)
        gate = self.gate(doubled, level, ctx=ctx)
        self.topk(self.add(score, gate, ctx=ctx), o, ctx=ctx)
