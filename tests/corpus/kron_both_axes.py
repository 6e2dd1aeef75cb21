from vortex_torch.cache import MeanInterleave
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Kron, L2Norm, Max, Mean, Reshape, topK


@register("agent_kron_both_axes_cls")
class KronBothAxes(vFlow):
    """A coarse query [1, 4] times a coarse field [2, 4] along both axes."""

    def __init__(self):
        super().__init__()
        self.qm, self.both, self.cols = Mean(dim=1), Kron(), Kron(dim=[2])
        self.norm, self.max, self.max2, self.topk = L2Norm(dim=2), Max(dim=1), Max(dim=2), topK()

    def create_cache(self, block_size, head_dim):
        self.rows = MeanInterleave(dim=1, k=block_size // 2)
        self.chans = MeanInterleave(dim=2, k=head_dim // 4)
        return {"coarse": (2, 4)}

    def forward_cache(self, cache, loc, ctx):
        half = self.rows(cache["k"], None, loc=loc, ctx=ctx)
        self.chans(half, cache["coarse"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        width = q.size(2) // 4
        query = Mean(dim=2)(Reshape(-1, 4, width)(self.qm(q, ctx=ctx), ctx=ctx), ctx=ctx)     # [1, 4, 1]
        query = Reshape(-1, 1, 4)(query, ctx=ctx)
        wide = self.both(query, cache["coarse"], ctx=ctx)                                     # [S, 2, 16]
        wider = self.cols(wide, query, ctx=ctx)                                               # [S, 2, 64]
        a = self.max(self.norm(wider, ctx=ctx), ctx=ctx)
        turned = self.both(cache["coarse"], query, ctx=ctx)
        b = self.max(self.max2(turned, ctx=ctx), ctx=ctx)
        self.topk(Kron(dim=(1, 2))(a, b, ctx=ctx), o, ctx=ctx)
