"""Static slices, gathers, joins and reshapes of the two inner axes."""
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vortex.errors import BadArgument, Fix, ShapeMismatch
from vortex.ir import Geometry, Lead, Node, Type
from vortex.language.kernel import Index, Pen, Tile, at, joined
from vortex.language.ops.objects import BOTH, numbers, one_of
from vortex.language.ops.record import REQUIRED, Op, Sample, Upstream, Word, define, nothing_moved
from vortex.language.ops.shapes import finite, inner_axis, joint_lead, shown, sized, whole, with_axis

if TYPE_CHECKING:
    import torch

    from vortex.language.ops.record import Scope

MOST_INDICES = 4096


def _at_axis(text: str, dim: int, index: str) -> str:
    return f"({text})[..., {index}]" if dim == 2 else f"({text})[:, {index}]"


def _slice_type(types: Sequence[Type], attrs: Mapping[str, Any], geometry: Geometry) -> Type:
    axis, start, stop = inner_axis(attrs), attrs.get("start"), attrs.get("stop")
    size = types[0].shape[axis]
    if not (whole(start) and whole(stop) and 0 <= start < stop <= size):  # type: ignore[operator]  # whole() says so
        raise BadArgument(f"the slice {shown(start)}:{shown(stop)} is not within axis {axis + 1}, which has {size}",
                          hint=f"Write a:b with 0 <= a < b <= {size}.",
                          fix=Fix(f":{stop}", f":{size}") if whole(stop) and stop > size else None)  # type: ignore[operator]
    if stop - start == size:  # type: ignore[operator]
        raise BadArgument(f"the slice takes all of axis {axis + 1}", hint="Leave it out.")
    return with_axis(types[0], axis, int(stop or 0) - int(start or 0))


def _at_index(pen: Pen, node: Node, dim: int, i: Index, j: Index, place: Index) -> Tile:
    return pen.read(node.args[0], place, j) if dim == 1 else pen.read(node.args[0], i, place)


def _slice_kernel(pen: Pen, node: Node, i: Index, j: Index) -> Tile:
    dim = node.attr("dim")
    return _at_index(pen, node, dim, i, j, (i if dim == 1 else j).plus(node.attr("start")))


define(Op(
    kernel=_slice_kernel,
    name="slice", meaning="The indices start .. stop of axis 1 (x[:, a:b]) or 2 (x[..., a:b]).", noun="part",
    usage="x[..., a:b]", infer=_slice_type,
    spelling=lambda texts, attrs: _at_axis(texts[0], attrs["dim"], f"{attrs['start']}:{attrs['stop']}"),
    evaluate=lambda scope, x, *, dim, start, stop: x.narrow(dim - 3, start, stop - start),
    operations=lambda types, out: 0, bytes_moved=nothing_moved,
    samples=(
        Sample(args=(Type(Lead.BLOCK, 4, 6),), attrs={"dim": 1, "start": 1, "stop": 3}),
        Sample(args=(Type(Lead.ROW, 4, 6),), attrs={"dim": 2, "start": 0, "stop": 5}),
    ),
))


def _gather_type(types: Sequence[Type], attrs: Mapping[str, Any], geometry: Geometry) -> Type:
    axis, indices = inner_axis(attrs), attrs.get("indices")
    size = types[0].shape[axis]
    if not isinstance(indices, tuple) or not 1 <= len(indices) <= MOST_INDICES:
        raise BadArgument(f"a gather takes a list of 1 to {MOST_INDICES} indices")
    bad = next((i for i in indices if not whole(i) or not 0 <= i < size), None)
    if bad is not None:
        raise BadArgument(f"index {shown(bad)} does not lie within axis {axis + 1}, which has {size}")
    return with_axis(types[0], axis, len(indices))


def _gather(scope: "Scope", x: "torch.Tensor", *, dim: int, indices: tuple[int, ...]) -> "torch.Tensor":
    return x[..., list(indices)] if dim == 2 else x[..., list(indices), :]


def _gather_kernel(pen: Pen, node: Node, i: Index, j: Index) -> Tile:
    dim = node.attr("dim")
    return _at_index(pen, node, dim, i, j, pen.listed(node.attr("indices"), i if dim == 1 else j))


define(Op(
    kernel=_gather_kernel,
    name="gather", meaning="The listed indices of axis 1 (x[:, [i, j]]) or 2 (x[..., [i, j]]).", noun="picked",
    usage="x[..., [3, 5]]", infer=_gather_type, evaluate=_gather,
    spelling=lambda texts, attrs: _at_axis(texts[0], attrs["dim"], str(list(attrs["indices"]))),
    operations=lambda types, out: 0, bytes_moved=lambda types, out: 8 * out.rows * out.cols,
    samples=(
        Sample(args=(Type(Lead.BLOCK, 4, 6),), attrs={"dim": 1, "indices": (3, 0, 0)}),
        Sample(args=(Type(Lead.ROW, 4, 6),), attrs={"dim": 2, "indices": (5, 1)}),
    ),
))


def _cat_type(types: Sequence[Type], attrs: Mapping[str, Any], geometry: Geometry) -> Type:
    axis = inner_axis(attrs)
    sizes = {t.shape[1 - axis] for t in types}
    if len(sizes) > 1:
        raise ShapeMismatch(f"the sizes {' and '.join(map(str, sorted(sizes)))} of axis {2 - axis} differ",
                            hint=f"Values joined along axis {axis + 1} agree in the other axis.")
    joined, other = sum(t.shape[axis] for t in types), sizes.pop()
    return sized(joint_lead(types), *((joined, other) if axis == 0 else (other, joined)))


def _mask_type(types: Sequence[Type], attrs: Mapping[str, Any], geometry: Geometry) -> Type:
    axis, start, stop = inner_axis(attrs), attrs.get("start"), attrs.get("stop")
    size = types[0].shape[axis]
    if not (whole(start) and whole(stop) and 0 <= start <= stop <= size):  # type: ignore[operator]  # whole() says so
        raise BadArgument(f"the mask {shown(start)}:{shown(stop)} is not within axis {axis + 1}, which has {size}",
                          hint=f"Give 0 <= start <= stop <= {size}.")
    if not finite(attrs.get("inside")) or not finite(attrs.get("outside")):
        raise BadArgument("inside and outside are finite numbers")
    return types[0]


def _mask(scope: "Scope", x: "torch.Tensor", *, start: int, stop: int, dim: int, inside: float,
          outside: float) -> "torch.Tensor":
    made = x.new_full(x.shape[-2:], outside)
    made.narrow(dim - 1, start, stop - start).fill_(inside)
    return made.expand(x.shape)


def _check_mask(*, start: object, end: object, dim: object, alpha: object, beta: object) -> None:
    one_of(1, 2)(dim=dim)
    numbers(alpha=alpha, beta=beta)
    if not (whole(start) and whole(end) and 0 <= start <= end):  # type: ignore[operator]  # whole() says so
        raise BadArgument(f"{shown(start)}:{shown(end)} is not a range of indices", hint="0 <= start <= end.")


def _mask_kernel(pen: Pen, node: Node, i: Index, j: Index) -> Tile:
    """Only where it lies matters."""
    attrs: dict[str, Any] = dict(node.attrs)
    place = i if attrs["dim"] == 1 else j
    inside, outside = (pen.make(repr(float(attrs[name]))) for name in ("inside", "outside"))
    held = pen.compare(f"(({{0}} >= {attrs['start']}) & ({{0}} < {attrs['stop']}))", place)
    return pen.make("tl.where({0}, {1}, {2})", held, inside, outside)


_mask_word = Word(name="mask", params=(("start", REQUIRED), ("stop", REQUIRED), ("dim", REQUIRED), ("inside", 1.0),
                                       ("outside", 0.0)), floats=("inside", "outside"))
define(Op(
    name="mask", noun="mask", usage=_mask_word.usage, spelling=_mask_word.spell, word=_mask_word, infer=_mask_type,
    meaning="A value of the shape of x, whose numbers do not matter: inside at the indices start .. stop of axis dim, "
            "outside at the others.",
    kernel=_mask_kernel, evaluate=_mask, operations=lambda types, out: 0, bytes_moved=lambda types, out: 4 * out.rows * out.cols,
    samples=(
        Sample(args=(Type(Lead.BLOCK, 2, 6),), attrs={"start": 1, "stop": 4, "dim": 2, "inside": 1.0, "outside": 0.0}),
        Sample(args=(Type(Lead.ROW, 4, 3),), attrs={"start": 2, "stop": 2, "dim": 1, "inside": 0.5, "outside": -2.0}),
        Sample(args=(Type(Lead.BLOCK, 4, 3),), attrs={"start": 0, "stop": 4, "dim": 1, "inside": 3.0, "outside": 9.0}),
    ),
    upstream=(Upstream(
        name="MaskSlice", means="ops.mask(x, start, end, dim, alpha, beta)", sides=BOTH, check=_check_mask,
        params=(("start", REQUIRED), ("end", REQUIRED), ("dim", REQUIRED), ("alpha", 1.0), ("beta", 0.0)),
        write=lambda x, start, end, dim, alpha, beta: x._apply(
            "mask", start=start, stop=end, dim=dim, inside=float(alpha), outside=float(beta))),),
))


def join(scope: "Scope", *parts: "torch.Tensor", dim: int) -> "torch.Tensor":
    import torch  # the language loads without it

    lead = torch.broadcast_shapes(*(p.shape[:-2] for p in parts))  # type: ignore[no-untyped-call]  # torch has none
    return torch.cat([p.expand(*lead, *p.shape[-2:]) for p in parts], dim - 3)


def _cat_kernel(pen: Pen, node: Node, i: Index, j: Index) -> Tile:
    """Each part is asked for within its own range, and taken where the index lies in it."""
    dim, begin, made = node.attr("dim"), 0, None
    place = i if dim == 1 else j
    for part in node.args:
        size = pen.shape(part)[dim - 1]
        own = place.plus(-begin).within(size)
        value = pen.read(part, own, j) if dim == 1 else pen.read(part, i, own)
        made = value if made is None else \
            pen.make("tl.where({0}, {1}, {2})", pen.compare(f"({{0}} < {begin})", place), made, value)
        begin += size
    assert made is not None
    return made


_cat_word = Word(name="cat", tensors=("x", "y"), many=True, params=(("dim", REQUIRED),))
define(Op(
    kernel=_cat_kernel,
    name="cat", meaning="Values joined along axis 1 or 2.", noun="joined", usage=_cat_word.usage,
    spelling=_cat_word.spell, word=_cat_word, infer=_cat_type, evaluate=join, operations=lambda types, out: 0,
    samples=(
        Sample(args=(Type(Lead.BLOCK, 2, 3), Type(Lead.BLOCK, 4, 3)), attrs={"dim": 1}),
        Sample(args=(Type(Lead.ROW, 2, 3), Type(Lead.BLOCK, 2, 1), Type(Lead.ROW, 2, 2)), attrs={"dim": 2}),
    ),
))


def _reshape_type(types: Sequence[Type], attrs: Mapping[str, Any], geometry: Geometry) -> Type:
    rows, cols, x = attrs.get("rows"), attrs.get("cols"), types[0]
    if not whole(rows) or not whole(cols) or rows < 1 or cols < 1:  # type: ignore[operator]  # whole() says so
        raise BadArgument(f"reshape({shown(rows)}, {shown(cols)}) does not name two sizes",
                          hint="Write x.reshape(rows, cols); the lead is never reshaped.")
    if rows * cols != x.rows * x.cols:  # type: ignore[operator]
        raise ShapeMismatch(f"{x.rows} x {x.cols} numbers do not fill {rows} x {cols}")
    return Type(x.lead, int(rows or 0), int(cols or 0))


def _check_sizes(*, batch_dim: object, x2: object, y2: object) -> None:
    if not whole(batch_dim) or batch_dim != -1:
        raise BadArgument(f"Reshape({shown(batch_dim)}, ...) reshapes the lead", hint="Write Reshape(-1, rows, cols).")
    if not (whole(x2) and whole(y2) and x2 >= 1 and y2 >= 1):  # type: ignore[operator]  # whole() says so
        raise BadArgument(f"Reshape(-1, {shown(x2)}, {shown(y2)}) does not name two sizes from 1 on")


def _reshape_kernel(pen: Pen, node: Node, i: Index, j: Index) -> Tile:
    flat = joined(i, node.attr("cols"), j)
    cols = pen.shape(node.args[0])[1]
    return pen.read(node.args[0], flat.divided(cols), flat.remainder(cols)) if cols > 1 else pen.read(node.args[0], flat, at(0))


_reshape_word = Word(name="reshape", method=True, params=(("rows", REQUIRED), ("cols", REQUIRED)))
define(Op(
    kernel=_reshape_kernel,
    name="reshape", meaning="The same numbers, row by row, as rows x cols.", noun="reshaped", usage=_reshape_word.usage,
    spelling=lambda texts, attrs: f"({texts[0]}).reshape({attrs['rows']}, {attrs['cols']})",
    word=_reshape_word, infer=_reshape_type, operations=lambda types, out: 0, bytes_moved=nothing_moved,
    evaluate=lambda scope, x, *, rows, cols: x.reshape(*x.shape[:-2], rows, cols),
    samples=(Sample(args=(Type(Lead.BLOCK, 4, 6),), attrs={"rows": 3, "cols": 8}),),
    upstream=(Upstream(
        name="Reshape", means="x.reshape(x2, y2); batch_dim is -1", sides=BOTH, check=_check_sizes,
        params=(("batch_dim", REQUIRED), ("x2", REQUIRED), ("y2", REQUIRED)),
        write=lambda x, batch_dim, x2, y2: x if x.shape[1:] == (x2, y2) else x.reshape(x2, y2)),),
))
