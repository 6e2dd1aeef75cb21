"""Comparisons, 1 where they hold and 0 elsewhere, and the choice between two values."""
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vortex.errors import BadArgument
from vortex.ir import Geometry, Lead, Type
from vortex.language.kernel import elementwise
from vortex.language.ops.elementwise import infix
from vortex.language.ops.objects import BOTH
from vortex.language.ops.record import Op, Sample, Upstream, Word, define
from vortex.language.ops.shapes import broadcast

if TYPE_CHECKING:
    import torch

    Relation = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

NEVER = -1e30          # a score that is never chosen; stands for minus infinity
SAMPLES = (
    Sample(args=(Type(Lead.BLOCK, 3, 1), Type(Lead.ROW, 1, 5)), attrs={}),
    Sample(args=(Type(Lead.BLOCK, 2, 3), Type(Lead.CONST, 1, 1)), attrs={}),
)


def _compared(types: Sequence[Type], attrs: Mapping[str, Any], geometry: Geometry) -> Type:
    if types[0] == Type(Lead.CONST, 1, 1):
        raise BadArgument("a comparison begins with a number",
                          hint="Write the tensor first: x > 1.0, not 1.0 < x.")
    return broadcast(types, attrs, geometry)


def _object(name: str, symbol: str) -> Upstream:
    """The upstream's WhereX: 0 where the relation holds, else -1e30, to be added to a score."""
    return Upstream(name="Where" + name.title().replace("_", ""), sides=BOTH, tensors=2,
                    means=f"0 where x {symbol} y, else -1e30",
                    write=lambda x, y: x._apply(name, y)._apply("where", 0.0, NEVER))


def _relation(name: str, symbol: str, meaning: str, holds: "Relation") -> None:
    define(Op(
        kernel=elementwise(f"tl.where({{0}} {symbol} {{1}}, 1.0, 0.0)"),
        name=name, meaning=f"1 where x is {meaning} y, else 0.", noun="gate", usage=f"x {symbol} y",
        spelling=infix(symbol), infer=_compared, evaluate=lambda scope, x, y: holds(x, y).to(x.dtype),
        samples=SAMPLES, numbers=True, upstream=(_object(name, symbol),),
    ))


_relation("greater", ">", "greater than", lambda x, y: x > y)
_relation("greater_equal", ">=", "at least", lambda x, y: x >= y)
_relation("less", "<", "less than", lambda x, y: x < y)
_relation("less_equal", "<=", "at most", lambda x, y: x <= y)
_relation("equal", "==", "equal to", lambda x, y: x == y)
_relation("not_equal", "!=", "different from", lambda x, y: x != y)

_where = Word(name="where", tensors=("condition", "x", "y"))
define(Op(
    name="where", meaning="x where the condition is not 0, else y.", noun="choice", usage=_where.usage,
    spelling=_where.spell, word=_where, infer=broadcast, numbers=True,
    evaluate=lambda scope, condition, x, y: x.where(condition != 0, y),
    kernel=elementwise("tl.where({0} != 0, {1}, {2})"),
    samples=(
        Sample(args=(Type(Lead.BLOCK, 3, 1), Type(Lead.ROW, 3, 4), Type(Lead.BLOCK, 1, 4)), attrs={}),
        Sample(args=(Type(Lead.BLOCK, 2, 3), Type(Lead.CONST, 1, 1), Type(Lead.BLOCK, 2, 3)), attrs={}),
    ),
))
