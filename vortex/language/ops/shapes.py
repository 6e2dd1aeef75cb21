"""Shape rules that several families of ops share."""
from collections.abc import Mapping, Sequence
from typing import Any

from vortex.errors import BadArgument, Fix, ShapeMismatch
from vortex.ir import Geometry, Lead, Type

LARGEST_NUMBER = 3.4e38
LARGEST = 1 << 20     # numbers in one value of a block: what still fits beside its neighbours
LARGEST_CONST = 1 << 23     # of a constant, which is there once: a matrix from all heads of a latent query to one fits

Attrs = Mapping[str, Any]


def joint_lead(types: Sequence[Type]) -> Lead:
    """One per block if any operand is; else one per row if any is."""
    leads = {t.lead for t in types}
    return next((lead for lead in (Lead.LIST, Lead.BLOCK, Lead.ROW) if lead in leads), Lead.CONST)


def sized(lead: Lead, rows: int, cols: int) -> Type:
    """A type that is not absurdly large. Raises ShapeMismatch."""
    most = LARGEST_CONST if lead is Lead.CONST else LARGEST
    if rows * cols > most:
        raise ShapeMismatch(f"the result {Type(lead, rows, cols)} holds {rows * cols:,} numbers",
                            hint=f"A value may hold {most:,} numbers; reduce or slice first.")
    return Type(lead, rows, cols)


def broadcast(types: Sequence[Type], attrs: Attrs, geometry: Geometry) -> Type:
    """NumPy's rule on axes 1 and 2: sizes are equal, or one of them is 1."""
    sizes = []
    for axis in (0, 1):
        wide = sorted({t.shape[axis] for t in types} - {1})
        if len(wide) > 1:
            raise ShapeMismatch(f"the sizes {wide[0]} and {wide[1]} of axis {axis + 1} differ",
                                hint="Sizes must be equal, or one of them 1.", fix=_turned(types))
        sizes.append(wide[0] if wide else 1)
    return sized(joint_lead(types), *sizes)


def _turned(types: Sequence[Type]) -> Fix | None:
    """Of two values that meet when one is transposed, the edit that does it."""
    if len(types) != 2:
        return None
    (rows, cols), (others, columns) = types[0].shape, types[1].shape
    fit = all(a == b or 1 in (a, b) for a, b in ((rows, columns), (cols, others)))
    return Fix("<right>", "<right>.T") if fit else None


def unchanged(types: Sequence[Type], attrs: Attrs, geometry: Geometry) -> Type:
    return types[0]


def inner_axis(attrs: Attrs) -> int:
    """0 or 1: where the axis `dim` stands in a type's shape. Raises BadArgument."""
    dim = attrs.get("dim")
    if isinstance(dim, bool) or dim not in (1, 2):
        fix = Fix(str(dim), str(dim + 3)) if dim in (-1, -2) else Fix("3", "2") if dim == 3 else None
        raise BadArgument(f"dim={shown(dim)} is not an inner axis", fix=fix,
                          hint="Axis 1 counts rows, axis 2 columns; the lead is axis 0.")
    return int(dim) - 1


def with_axis(like: Type, axis: int, size: int) -> Type:
    rows, cols = (size, like.cols) if axis == 0 else (like.rows, size)
    return sized(like.lead, rows, cols)


def whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def finite(value: object) -> bool:
    """A plain number within single precision, not NaN."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST_NUMBER


def shown(value: object) -> str:
    """A value of a flow for a message: numbers and short texts as they are, anything else by its kind."""
    if isinstance(value, str):
        return repr(value[:40])
    if isinstance(value, int) and abs(value) >= 1 << 64:
        return "a huge number"
    kind = {"Value": "tensor"}.get(type(value).__name__, type(value).__name__)
    return repr(value) if isinstance(value, int | float | None) else f"a {kind}"
