import math
from typing import Dict, List, Tuple, Union as TUnion

import torch

from vortex_torch.abs import ContextBase, vTensor
from vortex_torch.cache import Add as CAdd, Max as CMax, Mean as CMean, Min as CMin
from vortex_torch.flow import register, vFlow
from vortex_torch.indexer import Add, GeMM, Max, Maximum, Mean, Multiply, Sum, topK

_HALF = 0.5
_LEVELS: Dict[str, float] = {"centre": 1.0, "box": 0.25}
Shape = Tuple[int, int]


def _clamp(value: float, low: float = 0.0, high: float = 1.0) -> float:
    return max(low, min(high, value))


def weights_of(levels):
    total = sum(levels.values())
    return {name: level / total for name, level in levels.items()}


@register("agent_statics_and_functions_cls")
class StaticsAndFunctions(vFlow):
    """Centre and box, weighed by a table that is normalised when the file is read."""

    def __init__(self, sharpness: float = 1.5, floor: float = -3.0):
        super(StaticsAndFunctions, self).__init__()
        if sharpness <= 0:
            raise ValueError(f"sharpness is {sharpness}")
        weights = weights_of(_LEVELS)
        self._temper = _clamp(1.0 / sharpness, high=0.9)
        self._names: List[str] = ["c", "hi", "lo"]
        self.reducers = dict(zip(self._names, (CMean(dim=1), CMax(dim=1), CMin(dim=1))))
        self.qm = Mean(dim=1)
        self.gemm = GeMM()
        self.up, self.down, self.bound, self.total = Multiply(), Multiply(), Maximum(), Sum(dim=2)
        self.over_heads = Max(dim=1)
        self.blend = Add(alpha=weights.get("centre", 0.0), beta=weights["box"] * self._temper)
        self.topk = topK()

    @staticmethod
    def shape(head_dim: int, rows: int = 1) -> Shape:
        return (rows, head_dim)

    def create_cache(self, block_size: int, head_dim: int) -> Dict[str, Shape]:
        root = math.sqrt(head_dim)
        if not root > 1:
            raise ValueError("too few channels")
        fields = {}
        for name in self._names:
            fields[name] = self.shape(head_dim)
        if "c" not in fields:
            raise KeyError("c")
        return fields

    def forward_cache(self, cache: Dict[str, torch.Tensor], loc: torch.Tensor, ctx: ContextBase) -> None:
        for name, op in self.reducers.items():
            op(cache["k"], cache[name], loc=loc, ctx=ctx)

    def forward_indexer(self, q: vTensor, o: TUnion[vTensor, None], cache: Dict[str, vTensor], ctx: ContextBase):
        centre = self.gemm(self.qm(q, ctx=ctx), cache["c"], ctx=ctx)
        corners = [op(q, cache[name], ctx=ctx) for op, name in ((self.up, "hi"), (self.down, "lo"))]
        box = self.total(self.bound(corners[0], corners[1], ctx=ctx), ctx=ctx)
        score = self.blend(centre, self.over_heads(box, ctx=ctx), ctx=ctx)
        return self.topk(score, o, ctx=ctx)
