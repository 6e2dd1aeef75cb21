"""Products of whole values: the matrix product, the transpose that costs nothing before it, the Kronecker product."""
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vortex.errors import BadArgument, Fix, ShapeMismatch
from vortex.ir import Geometry, Lead, Node, Type
from vortex.language.kernel import Index, Pen, Tile, at
from vortex.language.ops.elementwise import infix
from vortex.language.ops.objects import BOTH, INDEXER
from vortex.language.ops.record import REQUIRED, Op, Sample, Upstream, Word, define, nothing_moved
from vortex.language.ops.shapes import broadcast, joint_lead, shown, sized, whole

if TYPE_CHECKING:
    import torch

    from vortex.language.ops.record import Scope


def _matmul_type(types: Sequence[Type], attrs: Mapping[str, Any], geometry: Geometry) -> Type:
    x, y = types
    if x.cols != y.rows:
        least, most = sorted((x.cols, y.rows))
        raise ShapeMismatch(f"the inner sizes {x.cols} and {y.rows} differ", hint=_matmul_hint(x, y, least, most),
                            fix=_matmul_fix(x, y))
    return sized(joint_lead(types), x.rows, y.cols)


def _matmul_hint(x: Type, y: Type, least: int, most: int) -> str:
    if x.cols == y.cols:
        return "Transpose the second: x @ y.T."
    if y.cols == x.rows > 1:
        return "The operands are swapped: y @ x."
    return f"x @ y needs [., a, K] @ [., K, b]. Slice the wider side ([..., :{least}]), "\
           f"or keep all {most} in the other."


def _matmul_fix(x: Type, y: Type) -> Fix | None:
    if x.cols == y.cols:
        return Fix("<right>", "<right>.T")
    if y.cols == x.rows > 1:
        return Fix("", "<right> @ <left>")
    if y.rows < x.cols:
        return Fix("<left>", f"<left>[..., :{y.rows}]") if x.lead is Lead.ROW else None
    return Fix("<right>", f"<right>[:, :{x.cols}]") if x.cols > 1 else None


def _matmul(scope: "Scope", x: "torch.Tensor", y: "torch.Tensor") -> "torch.Tensor":
    """Folds the block axis into rows or columns, so that a row is one product and not one a block."""
    if x.shape[-3] == 1 and y.shape[-3] > 1:
        blocks, cols = y.shape[-3], y.shape[-1]
        stacked = y.transpose(-1, -2).flatten(-3, -2)           # [..., N*b, K]: a view of a field's transpose
        out = x.squeeze(-3) @ stacked.transpose(-1, -2)         # [..., a, N*b]
        return out.reshape(*out.shape[:-1], blocks, cols).transpose(-3, -2)
    if y.shape[-3] == 1 and x.shape[-3] > 1:
        blocks, rows = x.shape[-3], x.shape[-2]
        out = x.flatten(-3, -2) @ y.squeeze(-3)                 # [..., N*a, b]
        return out.reshape(*out.shape[:-2], blocks, rows, out.shape[-1])
    return x @ y


def _gemv(x: Any, y: Any) -> Any:
    if x.shape[1] != 1 or y.shape[1] != 1:
        raise ShapeMismatch(f"GeMV takes one row of each, not {x} and {y}", hint="GeMM takes any number of rows.")
    return _gemm(x, y)


def _gemm(x: Any, y: Any) -> Any:
    """The rows of the second operand come first."""
    if x.shape[2] != y.shape[2]:
        raise ShapeMismatch(f"the rows of {x} and {y} differ in length", hint="GeMM(x, y) is y @ x.T.")
    return y @ x.T


define(Op(
    name="matmul", meaning="The matrix product of the last two axes: [., a, K] @ [., K, b] is [., a, b].",
    kernel=lambda pen, node, i, j: pen.product(node, i, j),
    noun="product", usage="x @ y", spelling=infix("@"), infer=_matmul_type, evaluate=_matmul,
    operations=lambda types, out: 2 * out.rows * out.cols * types[0].cols,
    samples=(
        Sample(args=(Type(Lead.ROW, 4, 8), Type(Lead.BLOCK, 8, 3)), attrs={}),
        Sample(args=(Type(Lead.BLOCK, 2, 8), Type(Lead.ROW, 8, 3)), attrs={}),
        Sample(args=(Type(Lead.BLOCK, 2, 8), Type(Lead.BLOCK, 8, 1)), attrs={}),
        Sample(args=(Type(Lead.ROW, 4, 4), Type(Lead.ROW, 4, 2)), attrs={}),
    ),
    upstream=(Upstream(name="GeMM", means="y @ x.T", sides=BOTH, tensors=2, write=_gemm),
              Upstream(name="GeMV", means="y @ x.T of one row each", sides=INDEXER, tensors=2, write=_gemv)),
))
define(Op(
    name="transpose", meaning="Axes 1 and 2 swapped; also written x.transpose().", noun="flipped", usage="x.T",
    spelling=lambda texts, attrs: f"({texts[0]}).T", evaluate=lambda scope, x: x.transpose(-1, -2),
    kernel=lambda pen, node, i, j: pen.read(node.args[0], j, i),
    infer=lambda types, attrs, geometry: Type(types[0].lead, types[0].cols, types[0].rows),
    operations=lambda types, out: 0, bytes_moved=nothing_moved,
    samples=(Sample(args=(Type(Lead.BLOCK, 3, 5),), attrs={}), Sample(args=(Type(Lead.ROW, 1, 5),), attrs={})),
    upstream=(Upstream(name="Transpose", means="x.T", sides=INDEXER, write=lambda x: x.T),),
))


def _kron_axes(attrs: Mapping[str, Any]) -> tuple[int, ...]:
    """The axes to be multiplied out, ascending. Raises BadArgument."""
    dim = attrs.get("dim")
    axes = dim if isinstance(dim, tuple) else (dim,)
    if not all(whole(axis) for axis in axes) or axes not in ((1,), (2,), (1, 2)) or dim in ((1,), (2,)):
        raise BadArgument(f"dim={shown(dim)} does not name inner axes", hint="dim is 1, 2 or (1, 2).")
    return axes


def _kron_type(types: Sequence[Type], attrs: Mapping[str, Any], geometry: Geometry) -> Type:
    axes, (x, y) = _kron_axes(attrs), types
    kept = [Type(t.lead, 1 if 1 in axes else t.rows, 1 if 2 in axes else t.cols) for t in types]
    other = broadcast(kept, {}, geometry)
    return sized(joint_lead(types), x.rows * y.rows if 1 in axes else other.rows,
                 x.cols * y.cols if 2 in axes else other.cols)


def _kron(scope: "Scope", x: "torch.Tensor", y: "torch.Tensor", *, dim: int | tuple[int, ...]) -> "torch.Tensor":
    axes = _kron_axes({"dim": dim})
    if 2 in axes:
        x, y = x.unsqueeze(-1), y.unsqueeze(-2)
    if 1 in axes:
        at = -3 if 2 in axes else -2
        x, y = x.unsqueeze(at), y.unsqueeze(at - 1)
    out = x * y
    if 2 in axes:
        out = out.flatten(-2)
    return out.flatten(-3, -2) if 1 in axes else out


def _named_axes(dim: object) -> tuple[object, ...]:
    """The axes of an op object, sorted: a number or any collection of them."""
    if not isinstance(dim, list | tuple | set | frozenset | range):
        return (dim,)
    return tuple(sorted(dim, key=repr))


def _check_axes(dim: object) -> None:
    axes = _named_axes(dim)
    if not all(whole(axis) for axis in axes) or axes not in ((1,), (2,), (1, 2)):
        raise BadArgument(f"dim={shown(dim)} does not name inner axes, each once", hint="dim is 1, 2 or (1, 2).")


def _kron_object(x: Any, y: Any, dim: object) -> Any:
    axes = _named_axes(dim)
    return x._apply("kron", y, dim=axes[0] if len(axes) == 1 else axes)


def _kron_kernel(pen: Pen, node: Node, i: Index, j: Index) -> Tile:
    """[i, j] is the place (i // y.rows, ..) of x times the place (i % y.rows, ..) of y."""
    x, y = node.args
    axes = _kron_axes(dict(node.attrs))
    left, right = [], []
    for axis, index in ((1, i), (2, j)):
        size = pen.shape(y)[axis - 1]
        if axis in axes:
            left.append(index.divided(size))
            right.append(index.remainder(size))
        else:
            left.append(index if pen.shape(x)[axis - 1] > 1 else at(0))
            right.append(index if size > 1 else at(0))
    return pen.make("{0} * {1}", pen.read(x, *left), pen.read(y, *right))


_kron_word = Word(name="kron", tensors=("x", "y"), params=(("dim", REQUIRED),))
define(Op(
    name="kron", meaning="The product of every index of x with every index of y along dim, x-major; "
                         "other axes broadcast.",
    kernel=_kron_kernel,
    noun="pairs", usage=_kron_word.usage, spelling=_kron_word.spell, word=_kron_word, infer=_kron_type, evaluate=_kron,
    samples=(
        Sample(args=(Type(Lead.ROW, 4, 8), Type(Lead.BLOCK, 2, 8)), attrs={"dim": 1}),
        Sample(args=(Type(Lead.BLOCK, 3, 2), Type(Lead.BLOCK, 1, 4)), attrs={"dim": 2}),
        Sample(args=(Type(Lead.BLOCK, 3, 2), Type(Lead.ROW, 2, 4)), attrs={"dim": (1, 2)}),
    ),
    upstream=(Upstream(name="Kron", means="ops.kron(x, y, dim)", sides=INDEXER, tensors=2, params=(("dim", (1, 2)),),
                       check=_check_axes, write=_kron_object),),
))
