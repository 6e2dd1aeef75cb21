"""Reductions of axis 1 or 2 within a value; the axis is kept. `every=n` reduces groups of n neighbours."""
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vortex.errors import BadArgument, ShapeMismatch
from vortex.ir import Geometry, Lead, Type
from vortex.language.ops.record import REQUIRED, Op, Sample, Word, define
from vortex.language.ops.shapes import inner_axis, shown, whole, with_axis

if TYPE_CHECKING:
    import torch

    Reduction = Callable[[torch.Tensor, int], torch.Tensor]

SAMPLES = (
    Sample(args=(Type(Lead.BLOCK, 4, 6),), attrs={"dim": 1}),
    Sample(args=(Type(Lead.ROW, 4, 6),), attrs={"dim": 2}),
    Sample(args=(Type(Lead.BLOCK, 4, 6),), attrs={"dim": 1, "every": 2}),
    Sample(args=(Type(Lead.BLOCK, 4, 6),), attrs={"dim": 2, "every": 3}),
)
PARAMS = (("dim", REQUIRED), ("every", None))


def _reduced(types: Sequence[Type], attrs: Mapping[str, Any], geometry: Geometry) -> Type:
    axis, every = inner_axis(attrs), attrs.get("every")
    if every is None:
        return with_axis(types[0], axis, 1)
    size = types[0].shape[axis]
    if not whole(every) or every < 1:
        raise BadArgument(f"every={shown(every)} is not a whole number from 1 on")
    if size % every:
        raise ShapeMismatch(f"groups of {every} do not fill axis {axis + 1}, which has {size}",
                            hint=f"every must divide {size}.")
    return with_axis(types[0], axis, size // every)


def _evaluated(reduce: "Reduction", x: "torch.Tensor", dim: int, every: int | None) -> "torch.Tensor":
    if every is None:
        return reduce(x, dim - 3).unsqueeze(dim - 3)
    groups = x.shape[dim - 3] // every
    if dim == 2:
        return reduce(x.reshape(*x.shape[:-1], groups, every), -1)
    return reduce(x.reshape(*x.shape[:-2], groups, every, x.shape[-1]), -2)


def _reduction(name: str, meaning: str, noun: str, reduce: "Reduction") -> None:
    word = Word(name=name, method=True, params=PARAMS)
    define(Op(
        name=name, meaning=f"{meaning} along axis 1 or 2 of a value.", noun=noun, usage=word.usage,
        spelling=word.spell, word=word, infer=_reduced, samples=SAMPLES,
        evaluate=lambda scope, x, *, dim, every=None: _evaluated(reduce, x, dim, every),
        operations=lambda types, out: types[0].rows * types[0].cols,
    ))


_reduction("mean", "The mean", "average", lambda x, dim: x.mean(dim))
_reduction("sum", "The sum", "total", lambda x, dim: x.sum(dim))
_reduction("max", "The largest number, NaN if there is one,", "peak", lambda x, dim: x.amax(dim))
_reduction("min", "The smallest number, NaN if there is one,", "low", lambda x, dim: x.amin(dim))
_reduction("norm", "The Euclidean length", "length", lambda x, dim: x.norm(dim=dim))
_reduction("logsumexp", "log(sum(exp(x)))", "soft_peak", lambda x, dim: x.logsumexp(dim))
