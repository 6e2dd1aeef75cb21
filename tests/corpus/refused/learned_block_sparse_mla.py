import os

import torch

from vortex_torch.cache import Mean as CMean
from vortex_torch.flow import register, vFlowMLA
from vortex_torch.indexer import GeMM, Parameter, Reshape, topK

CHECKPOINT = os.environ.get("VORTEX_COMPRESSOR_CKPT")


@register("learned_block_sparse_mla")
class Learned(vFlowMLA):
    """A learned matrix makes one query of all heads."""

    def __init__(self):
        super().__init__()
        weight = torch.load(CHECKPOINT) if CHECKPOINT else torch.eye(576).repeat(1, 20)[None] / 20
        self.flat, self.unflat = Reshape(-1, 1, 20 * 576), Reshape(-1, 1, 576)
        self.compress, self.weight = GeMM(), Parameter(weight)
        self.gemm, self.topk, self.mean = GeMM(), topK(), CMean(dim=1)

    def create_cache(self, block_size, kv_lora_rank, qk_rope_head_dim):
        return {"centroids": (1, kv_lora_rank + qk_rope_head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.mean(cache["latent"], cache["centroids"], loc=loc, ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        query = self.compress(self.flat(q, ctx=ctx), self.weight, ctx=ctx)
        query = self.unflat(query, ctx=ctx)
        self.topk(self.gemm(query, cache["centroids"], ctx=ctx), o, ctx=ctx)
