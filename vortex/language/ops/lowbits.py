"""Values rounded to a few bits, as a summary kept in such a format reads back."""
import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vortex.errors import BadArgument, Fix
from vortex.ir import Geometry, Lead, Node, Type
from vortex.language.kernel import Index, Pen, Tile
from vortex.language.ops.record import REQUIRED, Op, Sample, Word, define
from vortex.language.ops.shapes import inner_axis, shown

if TYPE_CHECKING:
    import torch

    from vortex.language.ops.record import Scope

FLOATS = {"fp8": ("float8_e4m3fn", 448.0), "fp8_e5m2": ("float8_e5m2", 57344.0)}
INTEGERS = {"int8": 127, "int4": 7}                    # the largest whole number; formats are symmetric
FORMATS = (*FLOATS, *INTEGERS)


def _format_type(types: Sequence[Type], attrs: Mapping[str, Any], geometry: Geometry) -> Type:
    name, axis = attrs.get("format"), inner_axis(attrs)
    if name not in FORMATS:
        close = difflib.get_close_matches(str(name), FORMATS, n=1, cutoff=0.5)
        raise BadArgument(f"format={shown(name)} is not a format", hint=f"There are: {', '.join(FORMATS)}.",
                          fix=Fix(f'"{name}"', f'"{close[0]}"') if close else None)
    if name in FLOATS and axis == 0:
        raise BadArgument(f"{name} has no scale, so no dim to take one along", hint="Leave dim out.")
    return types[0]


def _quantize(scope: "Scope", x: "torch.Tensor", *, format: str, dim: int) -> "torch.Tensor":
    """Integers have one scale, max|x| / largest, for all along `dim`; NaN spreads over its scale's numbers."""
    import torch  # the language loads without it

    if format in FLOATS:
        name, most = FLOATS[format]
        return x.clamp(-most, most).to(getattr(torch, name)).to(x.dtype)
    scale = x.abs().amax(dim - 3, keepdim=True) / INTEGERS[format]
    return torch.where(scale == 0, torch.zeros_like(x), (x / scale).round() * scale)


def _kernel(pen: Pen, node: Node, i: Index, j: Index) -> Tile:
    """Integers divide exactly: an approximate quotient could lie on the other side of a half."""
    name, dim, x = node.attr("format"), node.attr("dim"), node.args[0]
    value = pen.read(x, i, j)
    if name in FLOATS:
        return pen.make({"fp8": "as_fp8_e4m3({0})", "fp8_e5m2": "as_fp8_e5m2({0})"}[name], value)
    most = pen.reduce("max", (pen.shape(x)[dim - 1],),
                      lambda k: pen.make("tl.abs({0})", pen.read(x, k, j) if dim == 1 else pen.read(x, i, k)),
                      j.axes if dim == 1 else i.axes, node.type.lead is Lead.BLOCK)
    return pen.make(f"on_scale({{0}}, {{1}}, {float(INTEGERS[name])!r})", value, most)


_word = Word(name="quantize", method=True, params=(("format", REQUIRED), ("dim", 2)))
define(Op(
    name="quantize", noun="rounded", usage=_word.usage, spelling=_word.spell, word=_word, infer=_format_type,
    meaning="x rounded to a format: fp8 (e4m3) and fp8_e5m2 stop at their largest number; int8 and int4 have one scale, "
            "max|x| / 127 or / 7, for all along dim.",
    kernel=_kernel, evaluate=_quantize, operations=lambda types, out: 4 * out.rows * out.cols,
    samples=(*(Sample(args=(Type(Lead.BLOCK, 3, 5),), attrs={"format": name, "dim": 2}) for name in FORMATS),
             Sample(args=(Type(Lead.ROW, 3, 5),), attrs={"format": "int8", "dim": 1})),
))
