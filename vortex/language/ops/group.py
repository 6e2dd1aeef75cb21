"""How the scores of the query heads that share a kv head become one: a choice that changes the algorithm."""
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vortex.errors import BadArgument, ShapeMismatch
from vortex.ir import Geometry, Lead, Type
from vortex.language.ops.objects import INDEXER
from vortex.language.ops.record import OPS, Op, Sample, Word, define
from vortex.language.ops.shapes import finite, shown, with_axis

if TYPE_CHECKING:
    import torch

    from vortex.language.ops.record import Scope

WAYS = ("mean", "max", "sum", "softmax", "logsumexp")


def _to_one(types: Sequence[Type], attrs: Mapping[str, Any], geometry: Geometry) -> Type:
    x, by, scale = types[0], attrs.get("by"), attrs.get("scale")
    if by not in WAYS:
        raise BadArgument(f"by={shown(by)} is not a way to make one of many heads", hint=f"There are: {', '.join(WAYS)}.")
    if not finite(scale) or (scale != 1.0 and by != "softmax"):
        raise BadArgument(f"scale={shown(scale)} with by={by!r}", hint='Only by="softmax" has a scale, a finite number.')
    if x.rows != geometry.group:
        raise ShapeMismatch(f"axis 1 of {x} does not count the {geometry.group} heads of the group",
                            hint='q @ cache["c"].T is [block, G, r]: axis 1 counts the heads.')
    if by == "softmax" and x.lead is not Lead.BLOCK:
        raise ShapeMismatch(f"{x} does not vary from block to block", hint="The softmax ranges over the row's blocks.")
    return with_axis(x, 0, 1)


def _over_group(scope: "Scope", x: "torch.Tensor", *, by: str, scale: float) -> "torch.Tensor":
    if by == "softmax":
        return OPS["softmax"].evaluate(scope, x, scale=scale).sum(-2, keepdim=True)
    return OPS[by].evaluate(scope, x, dim=1)


def _written(x: Any, *, by: str, scale: float) -> Any:
    _to_one([x._node.type], {"by": by, "scale": scale}, x._tape.geometry)
    if by == "softmax":
        return x._apply("softmax", scale=scale)._apply("sum", dim=1)
    return x._apply(by, dim=1)


_word = Word(name="over_group", params=(("by", "mean"), ("scale", 1.0)), floats=("scale",))
define(Op(
    name="over_group", noun="joint", usage=_word.usage, spelling=_word.spell, word=_word, infer=_to_one,
    meaning="One row made of the group's heads: their mean, max, sum or logsumexp, or (softmax) the sum of what each head "
            "gives the block of its softmax(scale * x) over the row's blocks.",
    evaluate=_over_group, written_as=_written, sides=INDEXER, across_blocks=True,
    operations=lambda types, out: 5 * types[0].rows * types[0].cols,
    samples=(Sample(args=(Type(Lead.BLOCK, 4, 3),), attrs={"by": "softmax", "scale": 0.5}),
             *(Sample(args=(Type(Lead.BLOCK, 4, 3),), attrs={"by": by, "scale": 1.0}) for by in WAYS)),
))
