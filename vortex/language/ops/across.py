"""Ops over the blocks of a row, from `bos` to `n - eos`: softmax, normalize, convolution, reductions to the row."""
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vortex.errors import BadArgument, Fix, ShapeMismatch
from vortex.ir import Geometry, Lead, Node, Type
from vortex.language.kernel import Index, Pen, Tile
from vortex.language.ops.objects import INDEXER, numbers, one_of
from vortex.language.ops.record import REQUIRED, Op, Sample, Upstream, Word, define
from vortex.language.ops.shapes import finite

if TYPE_CHECKING:
    import torch

    from vortex.language.ops.record import Scope

    Reduction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

SAMPLES = (Sample(args=(Type(Lead.BLOCK, 1, 1),), attrs={}), Sample(args=(Type(Lead.BLOCK, 2, 3),), attrs={}))
INFINITY = float("inf")
LEAST_NORM = 1e-12
MOST_TAPS = 64


def _per_block(x: Type) -> None:
    if x.lead is not Lead.BLOCK:
        raise ShapeMismatch(f"{x} does not vary from block to block",
                            hint="Only what is made of a field has one value a block.")


def _same(types: Sequence[Type], attrs: Mapping[str, Any], geometry: Geometry) -> Type:
    _per_block(types[0])
    if not finite(attrs.get("scale", 1.0)):
        raise BadArgument("scale is not a finite number")
    return types[0]


def _softmax(scope: "Scope", x: "torch.Tensor", *, scale: float) -> "torch.Tensor":
    """0 outside of the middle."""
    return (x * scale).where(scope.middle, -INFINITY).softmax(-3).where(scope.middle, 0.0)


def _normalize(scope: "Scope", x: "torch.Tensor") -> "torch.Tensor":
    """0 outside of the middle."""
    inside = x.where(scope.middle, 0.0)
    return inside / inside.square().sum(-3, keepdim=True).sqrt().clamp(min=LEAST_NORM)


def _softmax_kernel(pen: Pen, node: Node, i: Index, j: Index) -> Tile:
    x, most, total = pen.read(node.args[0], i, j), pen.over_blocks(node, 0, i, j), pen.over_blocks(node, 1, i, j)
    return pen.middle(pen.make(f"tl.exp({{0}} * {node.attr('scale')!r} - {{1}}) / {{2}}", x, most, total))


def _normalize_kernel(pen: Pen, node: Node, i: Index, j: Index) -> Tile:
    length = pen.over_blocks(node, 0, i, j)
    return pen.middle(pen.make(f"{{0}} / larger({{1}}, {LEAST_NORM!r})", pen.read(node.args[0], i, j), length))


def _conv_kernel(pen: Pen, node: Node, i: Index, j: Index) -> Tile:
    made = None
    for back, tap in enumerate(node.attr("taps")):
        weight = _tap(pen, tap, i, j) if isinstance(tap, tuple) else pen.make(repr(float(tap)))
        term = pen.make("{0} * {1}", pen.neighbour(node.args[0], back, i, j), weight)
        made = term if made is None else pen.make("{0} + {1}", made, term)
    assert made is not None
    return pen.middle(made)


def _tap(pen: Pen, table: tuple[tuple[float, ...], ...], i: Index, j: Index) -> Tile:
    """table[i][j], by a choice among its numbers."""
    made = pen.make(repr(float(table[0][0])))
    for row, entries in enumerate(table):
        for col, number in enumerate(entries):
            if row or col:
                here = pen.compare(f"(({{0}} == {row}) & ({{1}} == {col}))", i, j)
                made = pen.make("tl.where({0}, {1}, {2})", here, pen.make(repr(float(number))), made)
    return made


def _overall_kernel(pen: Pen, node: Node, i: Index, j: Index) -> Tile:
    return pen.over_blocks(node, 0, i, j)


def _check_softmax(*, dim: object, scale: object) -> None:
    one_of(0)(dim=dim)
    numbers(scale=scale)


_softmax_word = Word(name="softmax", params=(("scale", 1.0),), floats=("scale",))
define(Op(
    name="softmax", meaning="exp(scale * x), divided by its sum over the row's blocks, entry by entry.", noun="share",
    usage=_softmax_word.usage, spelling=_softmax_word.spell, word=_softmax_word, infer=_same, evaluate=_softmax,
    kernel=_softmax_kernel, statistic="softmax",
    sides=INDEXER, across_blocks=True, operations=lambda types, out: 4 * out.rows * out.cols,
    samples=(Sample(args=(Type(Lead.BLOCK, 1, 1),), attrs={"scale": 1.0}),
             Sample(args=(Type(Lead.BLOCK, 2, 3),), attrs={"scale": -0.5})),
    upstream=(Upstream(name="Softmax", means="ops.softmax(x, scale)", sides=INDEXER, params=(("dim", 0), ("scale", 1.0)),
                       check=_check_softmax, write=lambda x, dim, scale: x._apply("softmax", scale=float(scale))),),
))
_normalize_word = Word(name="normalize")
define(Op(
    name="normalize", meaning="x divided by its Euclidean length over the row's blocks, entry by entry.",
    noun="normalized", usage=_normalize_word.usage, spelling=_normalize_word.spell, word=_normalize_word, infer=_same,
    evaluate=_normalize, sides=INDEXER, across_blocks=True, samples=SAMPLES, kernel=_normalize_kernel, statistic="norm",
    operations=lambda types, out: 3 * out.rows * out.cols,
    upstream=(Upstream(name="Normalize", means="ops.normalize(x)", sides=INDEXER, params=(("dim", 0),), check=one_of(0),
                       write=lambda x, dim: x._apply("normalize")),),
))


def _tap_shape(taps: object) -> tuple[int, ...]:
    """(K,) or (K, rows, cols); () for what is neither."""
    if not isinstance(taps, tuple) or not 1 <= len(taps) <= MOST_TAPS:
        return ()
    if all(finite(t) for t in taps):
        return (len(taps),)
    tables = [t for t in taps if isinstance(t, tuple) and t and all(isinstance(row, tuple) for row in t)]
    widths = {len(row) for table in tables for row in table}
    numbers = all(finite(n) for table in tables for row in table for n in row)
    if len(tables) < len(taps) or len({len(t) for t in tables}) > 1 or len(widths) > 1 or not numbers or 0 in widths:
        return ()
    return len(taps), len(tables[0]), widths.pop()


def _conv_type(types: Sequence[Type], attrs: Mapping[str, Any], geometry: Geometry) -> Type:
    _per_block(types[0])
    shape = _tap_shape(attrs.get("taps"))
    if not shape:
        raise BadArgument(f"taps are a list of 1 to {MOST_TAPS} numbers, or of such tables of rows x cols",
                          hint="ops.conv(x, [0.5, 0.3, 0.2]): tap 0 weighs the block itself, tap k the k-th before it.")
    if len(shape) == 3 and shape[1:] != types[0].shape:
        raise ShapeMismatch(f"taps of {shape[1]} x {shape[2]} do not fit {types[0]}")
    return types[0]


def _conv(scope: "Scope", x: "torch.Tensor", *, taps: tuple[Any, ...]) -> "torch.Tensor":
    """Causal: before the middle stands 0. 0 outside of the middle."""
    inside = x.where(scope.middle, 0.0)
    blocks, out = x.shape[-3], None
    for shift, tap in enumerate(taps[:blocks]):
        weight = inside.new_tensor(tap)
        term = inside.narrow(-3, 0, blocks - shift) * weight
        if out is None:
            out = term
        else:
            out.narrow(-3, shift, blocks - shift).add_(term)
    assert out is not None
    return out.where(scope.middle, 0.0)


def _tables(weight: object) -> tuple[Any, ...]:
    """A nested list as floats in tuples; anything else as nothing."""
    if isinstance(weight, list | tuple):
        return tuple(_tables(w) if isinstance(w, list | tuple) else float(w) if finite(w) else None for w in weight)
    return ()


def _check_conv(*, weight: object, dim: object, **placement: object) -> None:
    """`dtype` and `device` say how the upstream keeps the weight; here it is exact."""
    one_of(0)(dim=dim)
    if len(_tap_shape(_tables(weight))) != 3:
        raise BadArgument(f"weight is not a nested list [taps][rows][cols] of 1 to {MOST_TAPS} taps",
                          hint="Conv1d([[[0.5]], [[0.3]], [[0.2]]]) weighs a [block, 1, 1] and the two blocks before it.")


def _conv_object(x: Any, weight: object, **placement: object) -> Any:
    """Taps that weigh every entry alike are written as plain numbers."""
    taps = _tables(weight)
    _, rows, cols = _tap_shape(taps)
    if x.shape[1:] != (rows, cols):
        raise ShapeMismatch(f"taps of {rows} x {cols} do not fit {x}")
    alike = [{number for row in tap for number in row} for tap in taps]
    if all(len(numbers) == 1 for numbers in alike):
        taps = tuple(numbers.pop() for numbers in alike)
    return x._apply("conv", taps=taps)


_conv_word = Word(name="conv", params=(("taps", REQUIRED),), floats=("taps",))
define(Op(
    name="conv", meaning="A weighted sum of a block's value and those of the blocks before it in the row.",
    noun="smoothed", usage=_conv_word.usage, spelling=_conv_word.spell, word=_conv_word, infer=_conv_type,
    kernel=_conv_kernel, evaluate=_conv, sides=INDEXER, across_blocks=True, operations=lambda types, out: 8 * out.rows * out.cols,
    samples=(
        Sample(args=(Type(Lead.BLOCK, 1, 1),), attrs={"taps": (0.5, 0.3, 0.2)}),
        Sample(args=(Type(Lead.BLOCK, 1, 2),), attrs={"taps": (((1.0, 2.0),), ((0.5, -1.0),))}),
    ),
    upstream=(Upstream(name="Conv1d", means="ops.conv(x, weight)", sides=INDEXER, check=_check_conv, write=_conv_object,
                       params=(("weight", REQUIRED), ("dim", 0), ("dtype", None), ("device", None))),),
))


def _to_row(types: Sequence[Type], attrs: Mapping[str, Any], geometry: Geometry) -> Type:
    if types[0].lead is Lead.ROW:
        raise ShapeMismatch(f"{types[0]} is one per row already", fix=Fix("dim=0", "dim=1"),
                            hint="dim=0 ranges over the row's blocks; the query's heads are axis 1, its channels axis 2.")
    _per_block(types[0])
    return Type(Lead.ROW, types[0].rows, types[0].cols)


def _over_blocks(name: str, meaning: str, reduce: "Reduction") -> None:
    word = Word(name=name, method=True, params=(("dim", REQUIRED),), given=(("dim", 0),))

    def evaluate(scope: "Scope", x: "torch.Tensor") -> "torch.Tensor":
        middle = scope.middle
        return reduce(x, middle).where(middle.any(-3, keepdim=True), 0.0)

    define(Op(
        name=f"{name}_over_blocks", meaning=f"{meaning} over the row's blocks, one a row; 0 where there are none.",
        noun="overall", usage=f"x.{name}(dim=0)", spelling=word.spell, word=word, infer=_to_row, evaluate=evaluate,
        sides=INDEXER, across_blocks=True, samples=SAMPLES, operations=lambda types, out: out.rows * out.cols,
        kernel=_overall_kernel, statistic=name,
    ))


def _sum(x: "torch.Tensor", middle: "torch.Tensor") -> "torch.Tensor":
    return x.where(middle, 0.0).sum(-3, keepdim=True)


_over_blocks("mean", "The mean", lambda x, middle: _sum(x, middle) / middle.sum(-3, keepdim=True).clamp(min=1))
_over_blocks("sum", "The sum", _sum)
_over_blocks("max", "The largest number", lambda x, middle: x.where(middle, -INFINITY).amax(-3, keepdim=True))
_over_blocks("min", "The smallest number", lambda x, middle: x.where(middle, INFINITY).amin(-3, keepdim=True))
_over_blocks("norm", "The Euclidean length", lambda x, middle: _sum(x.square(), middle).sqrt())
_over_blocks("logsumexp", "log(sum(exp(x)))",
             lambda x, middle: x.where(middle, -INFINITY).logsumexp(-3, keepdim=True))
