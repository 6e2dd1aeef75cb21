from vortex_torch.cache import Mean as CMean, MeanInterleave
from vortex_torch.flow import register, vFlowMLA
from vortex_torch.indexer import GeMM, MaskSlice, Max, Mean, Multiply, topK

NOPE_DIM = 512


@register("rope_unaware_block_sparse_mla")
class RopeUnaware(vFlowMLA):
    """The rotary channels of the query are zeroed before it meets the centroid."""

    def __init__(self):
        super().__init__()
        self.heads = Mean(dim=1)
        self.mask = MaskSlice(0, NOPE_DIM, dim=2, alpha=1.0, beta=0.0)
        self.masked = Multiply()
        self.gemm = GeMM()
        self.topk = topK()
        self.mean = CMean(dim=1)

    def create_cache(self, block_size, kv_lora_rank, qk_rope_head_dim):
        assert kv_lora_rank == NOPE_DIM, f"made for {NOPE_DIM} channels without rotation, not {kv_lora_rank}"
        return {"centroids": (1, kv_lora_rank + qk_rope_head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.mean(cache["latent"], cache["centroids"], loc=loc, ctx=ctx)

    def _query(self, q, ctx):
        average = self.heads(q, ctx=ctx)
        return self.masked(average, self.mask(average, ctx=ctx), ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        score = self.gemm(self._query(q, ctx), cache["centroids"], ctx=ctx)
        self.topk(score, o, ctx=ctx)


@register("rope_unaware_lserve_centroid_mla")
class RopeUnawareLServe(RopeUnaware):
    SUB = 16

    def __init__(self):
        super().__init__()
        self.sub = MeanInterleave(dim=1, k=self.SUB)
        self.best = Max(dim=1)

    def create_cache(self, block_size, kv_lora_rank, qk_rope_head_dim):
        fields = super().create_cache(block_size, kv_lora_rank, qk_rope_head_dim)
        _, width = fields["centroids"]
        return {"centroids": (block_size // self.SUB, width)}

    def forward_cache(self, cache, loc, ctx):
        self.sub(cache["latent"], cache["centroids"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        rows = self.gemm(self._query(q, ctx), cache["centroids"], ctx=ctx)
        self.topk(self.best(rows, ctx=ctx), o, ctx=ctx)
