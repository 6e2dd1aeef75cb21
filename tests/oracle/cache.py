"""`vortex_torch.cache`: op objects that compute at once, on the block that has just been completed."""
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.oracle import formulas
from tests.oracle.indexer import PAIRED, SINGLE
from tests.oracle.values import Array, Format, Tensor, per_block

Round = Callable[[Array], Array]


@dataclass
class Block:
    """`ctx` of forward_cache: the fields [rows, cols] of one block of one kv head, which ops write into, rounded."""

    fields: dict[str, Array]
    rounded: Round


class BlockCache(Mapping[str, Tensor]):
    """cache[...] in forward_cache: always what the field holds now."""

    def __init__(self, block: Block) -> None:
        self.block = block

    def __getitem__(self, name: str) -> Tensor:
        return Field(self.block, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.block.fields)

    def __len__(self) -> int:
        return len(self.block.fields)


class Field(Tensor):
    """A field of the block: reading it gives what was last written."""

    def __init__(self, block: Block, name: str) -> None:
        self.block, self.format, self.field = block, Format.PAGED, name

    @property
    def data(self) -> Array:  # type: ignore[override]
        return self.block.fields[self.field][None]


def finish(result: Tensor, output: Tensor | None, ctx: Block) -> Tensor:
    """`result` as an intermediate, or written into the field `output`."""
    if output is None:
        return Tensor(result.data, Format.RAGGED)
    assert output.format is Format.PAGED and output.shape == result.shape, (output.field, output.shape, result.shape)
    ctx.fields[output.field] = ctx.rounded(result.data[0])
    return output


class OfOne:
    """An op of one operand; subclasses compute on [a, b]."""

    def compute(self, x: Array) -> Array:
        raise NotImplementedError

    def __call__(self, x: Tensor, output: Tensor | None = None, loc: object = None, ctx: Block | None = None) -> Tensor:
        assert isinstance(ctx, Block)
        return finish(per_block(self.compute, x), output, ctx)


class OfTwo:
    """An op of two operands."""

    def compute(self, x: Array, y: Array) -> Array:
        raise NotImplementedError

    def __call__(self, x: Tensor, y: Tensor, output: Tensor | None = None, loc: object = None,
                 ctx: Block | None = None) -> Tensor:
        assert isinstance(ctx, Block)
        return finish(per_block(self.compute, x, y), output, ctx)


class Reduce(OfOne):
    def __init__(self, dim: int = 1) -> None:
        assert dim in (1, 2)
        self.dim = dim

    def compute(self, x: Array) -> Array:
        return formulas.reduced(type(self).__name__, x, self.dim)


class Interleave(OfOne):
    def __init__(self, dim: int = 1, k: int = 2) -> None:
        assert dim in (1, 2) and isinstance(k, int) and k >= 1
        self.dim, self.k = dim, k

    def compute(self, x: Array) -> Array:
        return formulas.reduced_groups(type(self).__name__.removesuffix("Interleave"), x, self.dim, self.k)


class GeMM(OfTwo):
    def compute(self, x: Array, y: Array) -> Array:
        return formulas.product(x, y)


class Binary(OfTwo):
    def __init__(self, alpha: float = 1.0, beta: float = 1.0) -> None:
        self.alpha, self.beta = alpha, beta

    def compute(self, x: Array, y: Array) -> Array:
        return formulas.paired(type(self).__name__, x, y, self.alpha, self.beta)


class Unary(OfOne):
    defaults = (0.0, 1.0)

    def __init__(self, alpha: float | None = None, beta: float | None = None) -> None:
        self.alpha = self.defaults[0] if alpha is None else alpha
        self.beta = self.defaults[1] if beta is None else beta

    def compute(self, x: Array) -> Array:
        return formulas.single(type(self).__name__, x, self.alpha, self.beta)


class MaskSlice(OfOne):
    def __init__(self, start: int, end: int, dim: int, alpha: float = 1.0, beta: float = 0.0) -> None:
        assert dim in (1, 2) and start <= end
        self.params = (start, end, dim, alpha, beta)

    def compute(self, x: Array) -> Array:
        return formulas.band(x, *self.params)


class Reshape(OfOne):
    def __init__(self, batch_dim: int, x2: int, y2: int) -> None:
        assert batch_dim == -1 and x2 >= 1 and y2 >= 1
        self.shape = (x2, y2)

    def compute(self, x: Array) -> Array:
        return formulas.reshaped(x, *self.shape)


class Fill:
    def __init__(self, alpha: float = 0.0) -> None:
        self.alpha = alpha

    def __call__(self, dest: Tensor, *, loc: object, ctx: Block) -> Tensor:
        assert dest.format is Format.PAGED
        ctx.fields[dest.field] = np.full(dest.shape[1:], self.alpha)
        return dest


EXPORTS: dict[str, Any] = {op.__name__: op for op in (GeMM, MaskSlice, Reshape, Fill)}
EXPORTS |= {name: type(name, (Reduce,), {}) for name in ("Mean", "Max", "Min", "L2Norm")}
EXPORTS |= {f"{name}Interleave": type(f"{name}Interleave", (Interleave,), {}) for name in ("Mean", "Max", "Min", "L2Norm")}
EXPORTS |= {name: type(name, (Binary,), {}) for name in (*PAIRED, "Add")}
EXPORTS |= {name: type(name, (Unary,), {"defaults": defaults}) for name, defaults in SINGLE.items()}
