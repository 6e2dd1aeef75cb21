"""The flows that the upstream ships, for those that derive from them: its names and fields, written anew in op objects."""
import ast
from collections.abc import Callable, Mapping

from vortex.language.calls import nearest
from vortex.language.things import Class, Module

TEXT = '''
from vortex_torch.cache import Fill, L2Norm, MaxInterleave, MeanInterleave, MinInterleave
from vortex_torch.cache import Max as CMax, Mean as CMean, Min as CMin
from vortex_torch.flow import vFlow
from vortex_torch.indexer import (Add, GeMM, GeMV, Kron, Load, MaskSlice, Max, Maximum, Mean, Multiply, Save, Softmax, Sum,
                                  topK)


class BlockSparseAttention(vFlow):
    def __init__(self):
        super().__init__()
        self.mean, self.gemv, self.output_func, self.reduction = Mean(dim=1), GeMV(), topK(), CMean(dim=1)

    def create_cache(self, block_size, head_dim):
        return {"centroids": (1, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.reduction(cache["k"], cache["centroids"], loc=loc, ctx=ctx)

    def score(self, q, cache, ctx):
        return self.gemv(self.mean(q, ctx=ctx), cache["centroids"], ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        self.output_func(self.score(q, cache, ctx), o, ctx=ctx)


class GQABlockSparseAttention(BlockSparseAttention):
    def __init__(self):
        super().__init__()
        self.gemm, self.softmax, self.max_op = GeMM(), Softmax(dim=0, scale=0.09), Max(dim=2)

    def score(self, q, cache, ctx):
        shares = self.softmax(self.gemm(q, cache["centroids"], ctx=ctx), ctx=ctx)
        return self.max_op(shares, ctx=ctx)


class CenteredBlockSparseAttention(BlockSparseAttention):
    def __init__(self):
        super().__init__()
        self.gemm, self.head_mean, self.block_mean = GeMM(), Mean(dim=2), Mean(dim=0)
        self.center = Add(alpha=1.0, beta=-1.0)

    def score(self, q, cache, ctx):
        mean = self.head_mean(self.gemm(q, cache["centroids"], ctx=ctx), ctx=ctx)
        return self.center(mean, self.block_mean(mean, ctx=ctx), ctx=ctx)


class RunningAvgBlockSparse(BlockSparseAttention):
    ALPHA = 0.5

    def __init__(self):
        super().__init__()
        self.load, self.save, self.fill = Load(), Save(), Fill(0.0)
        self.add = Add(alpha=self.ALPHA, beta=1.0)

    def create_cache(self, block_size, head_dim):
        return {"centroids": (1, head_dim), "running_score": (1, 1)}

    def forward_cache(self, cache, loc, ctx):
        super().forward_cache(cache, loc, ctx)
        self.fill(cache["running_score"], loc=loc, ctx=ctx)

    def score(self, q, cache, ctx):
        running = self.add(self.load(cache["running_score"], ctx=ctx), super().score(q, cache, ctx), ctx=ctx)
        self.save(running, cache["running_score"], ctx=ctx)
        return running


class VEnergyGatedCentroid(BlockSparseAttention):
    def __init__(self):
        super().__init__()
        self.norm, self.energy, self.gate = L2Norm(dim=2), CMean(dim=1), Multiply()

    def create_cache(self, block_size, head_dim):
        return {"centroids": (1, head_dim), "v_energy": (1, 1)}

    def forward_cache(self, cache, loc, ctx):
        super().forward_cache(cache, loc, ctx)
        self.energy(self.norm(cache["v"], None, loc=loc, ctx=ctx), cache["v_energy"], loc=loc, ctx=ctx)

    def score(self, q, cache, ctx):
        return self.gate(super().score(q, cache, ctx), cache["v_energy"], ctx=ctx)


class LServeCentroidSparseAttention(BlockSparseAttention):
    SUB_BLOCK_SIZE = 16

    def __init__(self):
        super().__init__()
        self.gemm, self.max_op, self.reduction = GeMM(), Max(dim=1), MeanInterleave(dim=1, k=self.SUB_BLOCK_SIZE)

    def create_cache(self, block_size, head_dim):
        return {"centroids": (block_size // self.SUB_BLOCK_SIZE, head_dim)}

    def score(self, q, cache, ctx):
        return self.max_op(self.gemm(self.mean(q, ctx=ctx), cache["centroids"], ctx=ctx), ctx=ctx)


class GQAQuestSparseAttention(vFlow):
    def __init__(self):
        super().__init__()
        self.mul_max, self.mul_min, self.maximum_elementwise = Multiply(), Multiply(), Maximum()
        self.sum, self.max_op, self.output_func = Sum(dim=2), Max(dim=1), topK()
        self.reduction_max, self.reduction_min = CMax(dim=1), CMin(dim=1)

    def create_cache(self, block_size, head_dim):
        return {"max": (1, head_dim), "min": (1, head_dim)}

    def forward_cache(self, cache, loc, ctx):
        self.reduction_max(cache["k"], cache["max"], loc=loc, ctx=ctx)
        self.reduction_min(cache["k"], cache["min"], loc=loc, ctx=ctx)

    def bound(self, q, cache, ctx):
        high, low = self.mul_max(q, cache["max"], ctx=ctx), self.mul_min(q, cache["min"], ctx=ctx)
        return self.maximum_elementwise(high, low, ctx=ctx)

    def score(self, q, cache, ctx):
        return self.max_op(self.sum(self.bound(q, cache, ctx), ctx=ctx), ctx=ctx)

    def forward_indexer(self, q, o, cache, ctx):
        self.output_func(self.score(q, cache, ctx), o, ctx=ctx)


class MaskedQuestSparseAttention(GQAQuestSparseAttention):
    MASK_END = 8

    def __init__(self):
        super().__init__()
        self.mask, self.mul_mask = MaskSlice(0, self.MASK_END, dim=2, alpha=0.0, beta=1.0), Multiply()

    def bound(self, q, cache, ctx):
        bound = super().bound(q, cache, ctx)
        return self.mul_mask(bound, self.mask(bound, ctx=ctx), ctx=ctx)


class LServeSparseAttention(GQAQuestSparseAttention):
    LSERVE_BLOCK_SIZE = 16

    def __init__(self):
        super().__init__()
        self.mul_max, self.mul_min = Kron(dim=1), Kron(dim=1)
        self.reduction_max = MaxInterleave(dim=1, k=self.LSERVE_BLOCK_SIZE)
        self.reduction_min = MinInterleave(dim=1, k=self.LSERVE_BLOCK_SIZE)

    def create_cache(self, block_size, head_dim):
        rows = block_size // self.LSERVE_BLOCK_SIZE
        return {"max": (rows, head_dim), "min": (rows, head_dim)}
'''
NAME = "vortex_torch.flow.algorithms"


class Shipped(Module):
    """The upstream's module of flows, read when something is asked of it; its classes are found by any like spelling."""

    def __init__(self, run: Callable[[ast.Module], Mapping[str, object]]) -> None:
        super().__init__(NAME, {})
        self._run = run
        self._classes: dict[str, Class] = {}

    def find(self, name: str) -> object:
        if not self._classes:
            self._classes = {_bare(key): value for key, value in self._run(ast.parse(TEXT)).items() if isinstance(value, Class)}
        found = self._classes.get(_bare(name))
        if found is None:
            names = [cls.name for cls in self._classes.values()]
            self.hint = f"{nearest(name, names)} Of another one, the text is needed in this file."
        return found


def _bare(name: str) -> str:
    return name.replace("_", "").lower()
