"""Indices that are known only when a row is scored: the largest entries, and a gather by index."""
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vortex.errors import BadArgument, ShapeMismatch
from vortex.ir import Geometry, Lead, Node, Type
from vortex.language.kernel import Index, Pen, Tile, at
from vortex.language.ops.record import REQUIRED, Op, Sample, Word, define
from vortex.language.ops.shapes import inner_axis, joint_lead, shown, whole, with_axis

if TYPE_CHECKING:
    import torch

    from vortex.language.ops.record import Scope


def _largest_type(types: Sequence[Type], attrs: Mapping[str, Any], geometry: Geometry) -> Type:
    x, r = types[0], attrs.get("r")
    if x.rows != 1:
        raise ShapeMismatch(f"{x} has {x.rows} rows", hint="Reduce axis 1 first: ops.largest(q.abs().mean(dim=1), 16).")
    if not whole(r) or not 1 <= r <= x.cols:  # type: ignore[operator]  # whole() says so
        raise BadArgument(f"r={shown(r)} is not within 1 .. {x.cols}, the entries of {x}")
    return with_axis(x, 1, int(r or 0))


def _largest(scope: "Scope", x: "torch.Tensor", *, r: int) -> "torch.Tensor":
    """Whole numbers as float32: the largest first, equal ones by the lower index, NaN last."""
    missing = x.isnan()
    order = x.masked_fill(missing, -math.inf).sort(dim=-1, descending=True, stable=True).indices
    last = missing.gather(-1, order).to(x.dtype).sort(dim=-1, stable=True).indices
    return order.gather(-1, last)[..., :r].to(x.dtype)


def _largest_kernel(pen: Pen, node: Node, i: Index, j: Index) -> Tile:
    """The entry that as many others stand before as the place says: no sorting."""
    x = node.args[0]
    count, blocks = pen.shape(x)[1], node.type.lead is Lead.BLOCK

    def entry(e: Index) -> Tile:
        # Asked for at e, the entry would be summed in another order, and stand before itself by a last digit.
        own = pen.reduce("sum", (count,), lambda f: pen.make("tl.where({0}, {1}, 0.0)", pen.compare("({0} == {1})", f, e),
                                                             pen.read(x, at(0), f)), e.axes, blocks)

        def before(f: Index) -> Tile:
            return pen.make("tl.where(stands_before({0}, {1}, {2}), 1.0, 0.0)", pen.read(x, at(0), f), own,
                            pen.compare("({0} < {1})", f, e))

        rank = pen.reduce("sum", (count,), before, e.axes, blocks)
        return pen.make("tl.where({0} == {1}, {2}, 0.0)", rank, pen.number(j), pen.number(e))

    return pen.reduce("sum", (count,), entry, j.axes, blocks)


_largest_word = Word(name="largest", params=(("r", REQUIRED),))
define(Op(
    name="largest", noun="top", usage=_largest_word.usage, spelling=_largest_word.spell, word=_largest_word,
    meaning="The indices of the r largest entries of the one row of x, the largest first, equal ones by the lower index, "
            "NaN last.",
    infer=_largest_type, evaluate=_largest, kernel=_largest_kernel,
    operations=lambda types, out: types[0].cols * max(1, types[0].cols.bit_length()),
    samples=(Sample(args=(Type(Lead.ROW, 1, 8),), attrs={"r": 3}), Sample(args=(Type(Lead.BLOCK, 1, 5),), attrs={"r": 5})),
))


def _take_type(types: Sequence[Type], attrs: Mapping[str, Any], geometry: Geometry) -> Type:
    x, index = types
    axis = inner_axis(attrs)
    if index.rows != 1:
        raise ShapeMismatch(f"the index {index} has {index.rows} rows", hint="An index is one row: ops.largest gives one.")
    return with_axis(Type(joint_lead(types), *x.shape), axis, index.cols)


def _take(scope: "Scope", x: "torch.Tensor", index: "torch.Tensor", *, dim: int) -> "torch.Tensor":
    import torch  # the language loads without it

    at = index.nan_to_num(nan=0.0).round().clamp(0, x.shape[dim - 3] - 1).long()
    lead = torch.broadcast_shapes(x.shape[:-2], at.shape[:-2])  # type: ignore[no-untyped-call]  # torch has none
    if dim == 1:
        at = at.transpose(-1, -2)
    shape = (at.shape[-2], x.shape[-1]) if dim == 1 else (x.shape[-2], at.shape[-1])
    return x.expand(*lead, *x.shape[-2:]).gather(dim - 3, at.expand(*lead, *shape))


def _take_kernel(pen: Pen, node: Node, i: Index, j: Index) -> Tile:
    x, index = node.args
    dim = node.attr("dim")
    place = pen.index(pen.read(index, at(0), i if dim == 1 else j), pen.shape(x)[dim - 1])
    return pen.read(x, place, j) if dim == 1 else pen.read(x, i, place)


_take_word = Word(name="take", method=True, tensors=("x", "index"), params=(("dim", REQUIRED),))
define(Op(
    name="take", noun="taken", usage=_take_word.usage, spelling=_take_word.spell, word=_take_word, infer=_take_type,
    meaning="The entries of axis 1 or 2 that the one row of index names; indices are rounded and brought into range, NaN "
            "counts as 0.",
    kernel=_take_kernel, evaluate=_take, operations=lambda types, out: out.rows * out.cols,
    bytes_moved=lambda types, out: 4 * (types[1].cols + 2 * out.rows * out.cols),
    samples=(
        Sample(args=(Type(Lead.BLOCK, 2, 6), Type(Lead.ROW, 1, 3)), attrs={"dim": 2}),
        Sample(args=(Type(Lead.ROW, 4, 3), Type(Lead.BLOCK, 1, 5)), attrs={"dim": 1}),
        Sample(args=(Type(Lead.ROW, 1, 6), Type(Lead.ROW, 1, 2)), attrs={"dim": 2}),
    ),
))
