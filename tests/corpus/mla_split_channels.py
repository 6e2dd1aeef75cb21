from vortex_torch.cache import MaskSlice as CMask, MaxInterleave, MeanInterleave, MinInterleave, Multiply as CMul
from vortex_torch.flow import register, vFlowMLA
from vortex_torch.indexer import GeMM, Kron, Max, Maximum, Mean, Sum, topK


@register("agent_mla_split_channels_cls")
class LatentEnvelope(vFlowMLA):
    """The envelope of two halves of the latent, whose rotary part is halved when it is stored."""

    def __init__(self):
        super().__init__()
        self.kron, self.larger, self.sum, self.best, self.topk = Kron(dim=1), Maximum(), Sum(dim=2), Max(dim=1), topK()
        self.weigh = CMul()

    def create_cache(self, block_size, kv_lora_rank, qk_rope_head_dim):
        half = block_size // 2
        self.hi, self.lo = MaxInterleave(dim=1, k=half), MinInterleave(dim=1, k=half)
        self.mask = CMask(0, kv_lora_rank, dim=2, alpha=1.0, beta=0.5)
        return {name: (2, kv_lora_rank + qk_rope_head_dim) for name in ("hi", "lo")}

    def forward_cache(self, cache, loc, ctx):
        weighed = self.weigh(cache["latent"], self.mask(cache["latent"], None, loc=loc, ctx=ctx), None, loc=loc, ctx=ctx)
        self.hi(weighed, cache["hi"], loc=loc, ctx=ctx)
        self.lo(weighed, cache["lo"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        above, below = self.kron(q, cache["hi"], ctx=ctx), self.kron(q, cache["lo"], ctx=ctx)
        self.topk(self.best(self.sum(self.larger(above, below, ctx=ctx), ctx=ctx), ctx=ctx), o, ctx=ctx)
