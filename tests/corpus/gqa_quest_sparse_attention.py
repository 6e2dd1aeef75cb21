from typing import Dict

import torch

from vortex_torch.abs import ContextBase
from vortex_torch.cache import Max as CMax, Min as CMin
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Max, Maximum, Multiply, Sum, topK


@register("gqa_quest_sparse_attention")
class GqaQuest(vFlow):
    """Upper bound of every head's logit from the envelope of the keys, the group's largest."""

    def __init__(self):
        super().__init__()
        self.mul_max = Multiply()
        self.mul_min = Multiply()
        self.maximum_elementwise = Maximum()
        self.sum = Sum(dim=2)
        self.max_op = Max(dim=1)
        self.output_func = topK()
        self.reduction_max = CMax(dim=1)
        self.reduction_min = CMin(dim=1)

    def forward_indexer(self, q: torch.Tensor, o: torch.Tensor, cache: Dict[str, torch.Tensor], ctx: ContextBase):
        s_max = self.mul_max(q, cache["max"], ctx=ctx)
        s_min = self.mul_min(q, cache["min"], ctx=ctx)
        s = self.maximum_elementwise(s_max, s_min, ctx=ctx)
        score = self.sum(s, ctx=ctx)
        agg = self.max_op(score, ctx=ctx)
        self.output_func(agg, o, ctx=ctx)

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase):
        self.reduction_max(cache["k"], cache["max"], loc=loc, ctx=ctx)
        self.reduction_min(cache["k"], cache["min"], loc=loc, ctx=ctx)

    def create_cache(self, page_size: int, head_dim: int):
        return {"max": (1, head_dim), "min": (1, head_dim)}
