"""`vortex_torch.indexer`: op objects that compute at once, for one row."""
from typing import Any

import numpy as np

from tests.oracle import formulas
from tests.oracle.row import Row
from tests.oracle.values import Array, Format, Tensor, per_block

PAIRED = ("Maximum", "Minimum", "Multiply", "WhereEqual", "WhereNotEqual", "WhereGreater", "WhereGreaterEqual",
          "WhereLess", "WhereLessEqual")
SINGLE = {"Relu": (0.0, 0.0), "Sigmoid": (0.0, 0.0), "Silu": (0.0, 0.0), "Add_Mul": (0.0, 1.0), "Abs": (0.0, 1.0),
          "Log": (0.0, 1.0), "Exp": (0.0, 1.0)}
REDUCED = ("Sum", "Mean", "Max", "Min", "L2Norm")


class GeMM:
    def __call__(self, x: Tensor, y: Tensor, ctx: Row) -> Tensor:
        return per_block(formulas.product, x, y)


class GeMV:
    def __call__(self, x: Tensor, y: Tensor, ctx: Row) -> Tensor:
        assert x.shape[1] == y.shape[1] == 1
        return per_block(formulas.product, x, y)


class Reduce:
    def __init__(self, dim: int = 1) -> None:
        assert dim in (0, 1, 2)
        self.dim = dim

    def __call__(self, x: Tensor, ctx: Row) -> Tensor:
        kind = type(self).__name__
        if self.dim:
            return per_block(lambda a: formulas.reduced(kind, a, self.dim), x)
        assert x.format is Format.RAGGED, f"{kind}(dim=0) of {x.format}"
        middle, _ = ctx.over_middle(x.data)
        out = np.zeros(x.shape[1:])
        for a in range(x.shape[1]):
            for b in range(x.shape[2]):
                out[a, b] = formulas.reduced(kind, middle[:, a, b][None], 2)[0, 0]
        return Tensor(out[None], Format.BATCHED)


class Softmax:
    def __init__(self, dim: int = 0, scale: float = 1.0) -> None:
        assert dim == 0
        self.scale = scale

    def __call__(self, x: Tensor, ctx: Row) -> Tensor:
        assert x.format is Format.RAGGED, f"Softmax of {x.format}"
        middle, out = ctx.over_middle(x.data)
        grown = np.exp(self.scale * middle - (self.scale * middle).max(axis=0))
        out[ctx.bos:] = grown / grown.sum(axis=0)
        return Tensor(out, Format.RAGGED)


class Normalize:
    def __init__(self, dim: int = 0) -> None:
        assert dim == 0

    def __call__(self, x: Tensor, ctx: Row) -> Tensor:
        assert x.format is Format.RAGGED, f"Normalize of {x.format}"
        middle, out = ctx.over_middle(x.data)
        out[ctx.bos:] = middle / np.maximum(np.sqrt((middle ** 2).sum(axis=0)), 1e-12)
        return Tensor(out, Format.RAGGED)


class Conv1d:
    def __init__(self, weight: list[Any], dim: int = 0, dtype: object = None, device: object = None) -> None:
        assert dim == 0 and isinstance(weight, list)
        self.weight = np.array(weight, dtype=np.float64)
        assert self.weight.ndim == 3

    def __call__(self, x: Tensor, ctx: Row) -> Tensor:
        assert x.format is Format.RAGGED and self.weight.shape[1:] == x.shape[1:]
        middle, out = ctx.over_middle(x.data)
        for p in range(len(middle)):
            total = np.zeros(x.shape[1:])
            for k in range(min(len(self.weight), p + 1)):
                total += self.weight[k] * middle[p - k]
            out[ctx.bos + p] = total
        return Tensor(out, Format.RAGGED)


class Transpose:
    def __call__(self, x: Tensor, ctx: Row) -> Tensor:
        return per_block(lambda a: a.T, x)


class Reshape:
    def __init__(self, batch_dim: int, x2: int, y2: int) -> None:
        assert batch_dim == -1 and x2 >= 1 and y2 >= 1
        self.shape = (x2, y2)

    def __call__(self, x: Tensor, ctx: Row) -> Tensor:
        return per_block(lambda a: formulas.reshaped(a, *self.shape), x)


class Kron:
    def __init__(self, dim: int | tuple[int, ...] | list[int] = (1, 2)) -> None:
        dims = (dim,) if isinstance(dim, int) else tuple(dim)
        assert dims and set(dims) <= {1, 2} and len(set(dims)) == len(dims)
        self.dims = dims

    def __call__(self, x: Tensor, y: Tensor, ctx: Row) -> Tensor:
        return per_block(lambda a, b: formulas.kron(a, b, self.dims), x, y)


class MaskSlice:
    def __init__(self, start: int, end: int, dim: int, alpha: float = 1.0, beta: float = 0.0) -> None:
        assert dim in (1, 2) and start <= end
        self.params = (start, end, dim, alpha, beta)

    def __call__(self, x: Tensor, ctx: Row) -> Tensor:
        return per_block(lambda a: formulas.band(a, *self.params), x)


class Binary:
    def __init__(self, alpha: float = 1.0, beta: float = 1.0) -> None:
        self.alpha, self.beta = alpha, beta

    def __call__(self, x: Tensor, y: Tensor, ctx: Row) -> Tensor:
        kind = type(self).__name__
        return per_block(lambda a, b: formulas.paired(kind, a, b, self.alpha, self.beta), x, y)


class Unary:
    defaults = (0.0, 1.0)

    def __init__(self, alpha: float | None = None, beta: float | None = None) -> None:
        self.alpha = self.defaults[0] if alpha is None else alpha
        self.beta = self.defaults[1] if beta is None else beta

    def __call__(self, x: Tensor, ctx: Row) -> Tensor:
        return per_block(lambda a: formulas.single(type(self).__name__, a, self.alpha, self.beta), x)


class Load:
    def __call__(self, field: Tensor, ctx: Row) -> Tensor:
        assert field.format is Format.PAGED
        return Tensor(field.data, Format.RAGGED)


class Save:
    def __call__(self, x: Tensor, field: Tensor, ctx: Row) -> Tensor:
        assert x.format is Format.RAGGED and field.format is Format.PAGED and x.shape[1:] == field.shape[1:]
        ctx.saves[field.field] = x.data
        return field


def _score(score: Tensor) -> Array:
    assert score.format is Format.RAGGED and score.shape[1:] == (1, 1), (score.format, score.shape)
    return score.data[:, 0, 0]


class topK:
    def __call__(self, score: Tensor, o: object, ctx: Row) -> None:
        ctx.finish(ctx.take(_score(score), ctx.allowed))


class approxTopK(topK):
    def __init__(self, tolerate_ratio: float = 0.0) -> None:
        if isinstance(tolerate_ratio, bool) or not 0 <= tolerate_ratio <= 1:
            raise ValueError(tolerate_ratio)


class TopK:
    def __init__(self, k: int) -> None:
        if not isinstance(k, int) or k < 1:
            raise ValueError(k)
        self.k = k

    def __call__(self, score: Tensor, ctx: Row) -> tuple[set[int] | None, int]:
        taken = ctx.take(_score(score), ctx.bos + self.k + ctx.eos)
        return taken, len(taken or ())


class Union:
    def __call__(self, first: tuple[Any, int], second: tuple[Any, int], o: object, ctx: Row) -> None:
        ctx.finish(first[0], second[0])


EXPORTS: dict[str, Any] = {
    op.__name__: op for op in (GeMM, GeMV, Softmax, Normalize, Conv1d, Transpose, Reshape, Kron, MaskSlice, Load, Save,
                               topK, approxTopK, TopK, Union)}
EXPORTS |= {name: type(name, (Reduce,), {}) for name in REDUCED}
EXPORTS |= {name: type(name, (Binary,), {}) for name in (*PAIRED, "Add")}
EXPORTS |= {name: type(name, (Unary,), {"defaults": defaults}) for name, defaults in SINGLE.items()}
