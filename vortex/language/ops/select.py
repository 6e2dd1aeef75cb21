"""What ends forward_indexer: the selection of blocks."""
from collections.abc import Mapping, Sequence
from typing import Any

from vortex.errors import ShapeMismatch
from vortex.ir import SELECTION, Geometry, Lead, Type
from vortex.language.ops.record import Op, Sample, Side, Word, define

INDEXER = frozenset({Side.INDEXER})


def _scored(types: Sequence[Type], attrs: Mapping[str, Any], geometry: Geometry) -> Type:
    score = types[0]
    if score.lead is not Lead.BLOCK:
        raise ShapeMismatch(f"the score {score} does not vary from block to block",
                            hint="A score is [block, 1, 1]: make it from a field.")
    if score.shape != (1, 1):
        axes = " and ".join(str(axis + 1) for axis in (0, 1) if score.shape[axis] > 1)
        raise ShapeMismatch(f"the score {score} is not one number a block",
                            hint=f"Reduce axis {axes} first: .max(dim=...), .mean(dim=...) or .sum(dim=...).")
    return SELECTION


_topk = Word(name="topk", tensors=("score",))
define(Op(
    name="topk", meaning="The blocks of the highest score, as many as the operating point allows.", noun="selection",
    usage=_topk.usage, spelling=_topk.spell, word=_topk, infer=_scored, evaluate=lambda scope, score: score,
    sides=INDEXER, samples=(Sample(args=(Type(Lead.BLOCK, 1, 1),), attrs={}),),
))


def _nothing(scope: object) -> Any:
    raise AssertionError("every block is taken: there is nothing to score")


_everything = Word(name="everything", tensors=())
define(Op(
    name="everything", meaning="Every block, whatever the budget: dense attention.", noun="selection",
    usage=_everything.usage, spelling=_everything.spell, word=_everything, sides=INDEXER, leaf=True,
    infer=lambda types, attrs, geometry: SELECTION, evaluate=_nothing, operations=lambda types, out: 0,
))
