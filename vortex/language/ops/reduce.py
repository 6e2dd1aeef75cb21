"""Reductions of axis 1 or 2 within a value; the axis is kept. `every=n` reduces groups of n neighbours."""
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vortex.errors import BadArgument, Fix, ShapeMismatch
from vortex.ir import Geometry, Lead, Node, Type
from vortex.language.kernel import Index, Pen, Say, Tile, joined
from vortex.language.ops.objects import CACHE, INDEXER, one_of
from vortex.language.ops.record import REQUIRED, Op, Sample, Upstream, Word, define
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
                            hint=f"every must divide {size}.", fix=Fix(f"every={every}", f"every={_divisor(size, every)}"))
    return with_axis(types[0], axis, size // every)


def _divisor(size: int, wanted: int) -> int:
    """The number nearest to `wanted` that divides `size`."""
    return min((n for n in range(1, size + 1) if size % n == 0), key=lambda n: (abs(n - wanted), n))


def _evaluated(reduce: "Reduction", x: "torch.Tensor", dim: int, every: int | None) -> "torch.Tensor":
    if every is None:
        return reduce(x, dim - 3).unsqueeze(dim - 3)
    groups = x.shape[dim - 3] // every
    if dim == 2:
        return reduce(x.reshape(*x.shape[:-1], groups, every), -1)
    return reduce(x.reshape(*x.shape[:-2], groups, every, x.shape[-1]), -2)


def reduced(pen: Pen, node: Node, how: str, form: str, i: Index, j: Index) -> Tile:
    """sum, max or min over the node's axis of a form of its operand."""
    x, (dim, every) = node.args[0], _where(node)
    sizes = (every,) if every is not None else pen.factors(x, dim)
    groups, stay = (i, j) if dim == 1 else (j, i)

    def of(index: Index) -> Tile:
        place = index if every is None else joined(groups, every, index)
        return pen.make(form, pen.read(x, place, stay) if dim == 1 else pen.read(x, stay, place))

    around = stay.axes | (groups.axes if every is not None else frozenset())
    return pen.reduce(how, sizes, of, around, node.type.lead is Lead.BLOCK)


def _where(node: Node) -> tuple[int, int | None]:
    attrs: dict[str, Any] = dict(node.attrs)
    return attrs["dim"], attrs.get("every")


def _count(pen: Pen, node: Node) -> int:
    dim, every = _where(node)
    return every or pen.shape(node.args[0])[dim - 1]


def _plainly(how: str) -> Say:
    return lambda pen, node, i, j: reduced(pen, node, how, "{0}", i, j)


def _mean_kernel(pen: Pen, node: Node, i: Index, j: Index) -> Tile:
    return pen.make(f"{{0}} * {1.0 / _count(pen, node)!r}", reduced(pen, node, "sum", "{0}", i, j))


def _norm_kernel(pen: Pen, node: Node, i: Index, j: Index) -> Tile:
    return pen.make("tl.sqrt_rn({0})", reduced(pen, node, "sum", "{0} * {0}", i, j))


def _logsumexp_kernel(pen: Pen, node: Node, i: Index, j: Index) -> Tile:
    """Less the largest, so that nothing overflows; an infinite one is not subtracted."""
    most = pen.make("tl.where(tl.abs({0}) == float('inf'), 0.0, {0})", reduced(pen, node, "max", "{0}", i, j))
    total = reduced(pen, node, "sum", f"tl.exp({{0}} - {most.text})", i, j)
    return pen.make("tl.log({0}) + {1}", total, most)


def _check_groups(*, dim: object, k: object) -> None:
    one_of(1, 2)(dim=dim)
    if not whole(k) or k < 1:  # type: ignore[operator]  # whole() says so
        raise BadArgument(f"k={shown(k)} is not a whole number from 1 on", hint="k counts the neighbours of a group.")


def _of_neighbours(x: Any, name: str, dim: int, k: int) -> Any:
    """Of groups of k; all of the axis at once, and groups of one, are written as what they are."""
    if k == x.shape[dim]:
        return x._apply(name, dim=dim)
    if k == 1:
        return x.abs() if name == "norm" else x
    return x._apply(name, dim=dim, every=k)


def _objects(name: str, called: str) -> tuple[Upstream, ...]:
    """The upstream's reduction on either side; the cache side has one of neighbours as well, and no sum."""
    params = (("dim", 1),)
    indexer = Upstream(name=called, means=f"x.{name}(dim)", sides=INDEXER, params=params, check=one_of(0, 1, 2),
                       write=lambda x, dim: getattr(x, name)(dim=dim))
    if name == "sum":
        return (indexer,)
    return (
        indexer,
        Upstream(name=called, means=f"x.{name}(dim)", sides=CACHE, params=params, check=one_of(1, 2), write=indexer.write),
        Upstream(name=f"{called}Interleave", means=f"x.{name}(dim, every=k)", sides=CACHE,
                 params=(("dim", 1), ("k", 2)), check=_check_groups,
                 write=lambda x, dim, k: _of_neighbours(x, name, dim, k)),
    )


def _reduction(name: str, meaning: str, noun: str, reduce: "Reduction", kernel: Say, called: str = "") -> None:
    word = Word(name=name, method=True, params=PARAMS)
    define(Op(
        kernel=kernel,
        name=name, meaning=f"{meaning} along axis 1 or 2 of a value.", noun=noun, usage=word.usage,
        spelling=word.spell, word=word, infer=_reduced, samples=SAMPLES,
        evaluate=lambda scope, x, *, dim, every=None: _evaluated(reduce, x, dim, every),
        operations=lambda types, out: types[0].rows * types[0].cols,
        upstream=_objects(name, called) if called else (),
    ))


_reduction("mean", "The mean", "average", lambda x, dim: x.mean(dim), _mean_kernel, "Mean")
_reduction("sum", "The sum", "total", lambda x, dim: x.sum(dim), _plainly("sum"), "Sum")
_reduction("max", "The largest number, NaN if there is one,", "peak", lambda x, dim: x.amax(dim), _plainly("max"), "Max")
_reduction("min", "The smallest number, NaN if there is one,", "low", lambda x, dim: x.amin(dim), _plainly("min"), "Min")
_reduction("norm", "The Euclidean length", "length", lambda x, dim: x.norm(dim=dim), _norm_kernel, "L2Norm")
_reduction("logsumexp", "log(sum(exp(x)))", "soft_peak", lambda x, dim: x.logsumexp(dim), _logsumexp_kernel)
