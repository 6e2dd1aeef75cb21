from vortex_torch.cache import L2Norm as CL2Norm
from vortex_torch.cache import Mean as CMean
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import GeMM, Mean, Multiply, topK


@register("venergy_gated_centroid")
class ValueEnergy(vFlow):
    def __init__(self):
        super().__init__()
        self.qm, self.gemm, self.gate, self.topk = Mean(dim=1), GeMM(), Multiply(), topK()
        self.ck, self.norm, self.cv = CMean(dim=1), CL2Norm(dim=2), CMean(dim=1)

    def create_cache(self, block_size, head_dim):
        return {"centroids": (1, head_dim), "v_energy": (1, 1)}

    def forward_cache(self, cache, loc, ctx):
        self.ck(cache["k"], cache["centroids"], loc=loc, ctx=ctx)
        lengths = self.norm(cache["v"], None, loc=loc, ctx=ctx)
        self.cv(lengths, cache["v_energy"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        s = self.gemm(self.qm(q, ctx=ctx), cache["centroids"], ctx=ctx)
        s = self.gate(s, cache["v_energy"], ctx=ctx)
        self.topk(s, o, ctx=ctx)
