from typing import Dict, Tuple

import torch

from vortex_torch.abs import ContextBase
from vortex_torch.cache import Mean as CMean
from vortex_torch.flow import vFlow, register
from vortex_torch.indexer import GeMV, Mean, topK


@register("block_sparse_attention")
class BlockSparseAttention(vFlow):
    """Rank blocks by the product of the mean query and the mean key."""

    def __init__(self):
        super().__init__()
        self.average_query = Mean(dim=1)
        self.product = GeMV()
        self.output_func = topK()
        self.average_keys = CMean(dim=1)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        q_mean = self.average_query(q, ctx=ctx)
        score = self.product(q_mean, cache["centroids"], ctx=ctx)
        self.output_func(score, o, ctx=ctx)

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.average_keys(cache["k"], cache["centroids"], loc=loc, ctx=ctx)

    def create_cache(self, block_size: int, head_dim: int) -> Dict[str, Tuple[int, int]]:
        return {"centroids": (1, head_dim)}
