from vortex_torch.cache import Fill as CFill, L2Norm as CL2Norm, Max as CMax, Mean as CMean
from vortex_torch.flow import register, vFlowMLA
from vortex_torch.indexer import Add, GeMM, Load, MaskSlice, Max, Mean, Multiply, Save, Softmax, TopK, Union


@register("agent_mla_union_state_cls")
class LatentUnion(vFlowMLA):
    """One list from the compressed channels with memory, one from the rotary channels without."""

    def __init__(self):
        super().__init__()
        self.qm, self.gemm, self.times, self.soft, self.best = Mean(dim=1), GeMM(), Multiply(), Softmax(scale=0.05), Max(dim=2)
        self.load, self.save, self.add = Load(), Save(), Add(alpha=0.5, beta=1.0)
        self.a, self.b, self.union = TopK(2), TopK(2), Union()
        self.cm, self.cx, self.zero = CMean(dim=1), CMax(dim=1), CFill()
        self.rank = 0

    def create_cache(self, block_size, kv_lora_rank, qk_rope_head_dim):
        self.rank = kv_lora_rank
        width = kv_lora_rank + qk_rope_head_dim
        return {"mean": (1, width), "peak": (1, width), "memory": (1, 1)}

    def forward_cache(self, cache, loc, ctx):
        self.cm(cache["latent"], cache["mean"], loc=loc, ctx=ctx)
        self.cx(cache["latent"], cache["peak"], loc=loc, ctx=ctx)
        self.zero(cache["memory"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        width = q.shape[2]
        plain, rotary = MaskSlice(0, self.rank, dim=2), MaskSlice(self.rank, width, dim=2)
        by_content = self.gemm(self.times(q, plain(q, ctx=ctx), ctx=ctx), cache["mean"], ctx=ctx)
        now = self.best(self.soft(by_content, ctx=ctx), ctx=ctx)
        total = self.add(self.load(cache["memory"], ctx=ctx), now, ctx=ctx)
        self.save(total, cache["memory"], ctx=ctx)
        query = self.qm(q, ctx=ctx)
        by_place = self.gemm(self.times(query, rotary(query, ctx=ctx), ctx=ctx), cache["peak"], ctx=ctx)
        self.union(self.a(total, ctx=ctx), self.b(by_place, ctx=ctx), o, ctx=ctx)
