"""What ends forward_indexer: the selection of blocks.

A Selection is a rule and what it is applied to. The value of a Selection op (`evaluate`) is only the latter: the scores
[..., N, 1, leaves] of its leaves, left to right. Which blocks a row then takes is said by compiler/reference.py.
"""
from collections.abc import Mapping, Sequence
from typing import Any

from vortex.errors import BadArgument, Fix, ShapeMismatch
from vortex.ir import SELECTION, Geometry, Lead, Type
from vortex.language.ops.elementwise import infix
from vortex.language.ops.layout import join
from vortex.language.ops.objects import INDEXER
from vortex.language.ops.record import REQUIRED, Op, Sample, Upstream, Word, define
from vortex.language.ops.shapes import finite, shown, whole

SCORE = Type(Lead.BLOCK, 1, 1)
MOST_BLOCKS = 1 << 20
Attrs = Mapping[str, Any]


def _scored(types: Sequence[Type], attrs: Attrs, geometry: Geometry) -> Type:
    score = types[0]
    if score.lead is not Lead.BLOCK:
        raise ShapeMismatch(f"the score {score} does not vary from block to block",
                            hint="A score is [block, 1, 1]: make it from a field.")
    if score.shape == (geometry.head_dim, geometry.head_dim) != (1, 1):
        raise ShapeMismatch(f"the score {score} is an outer product of channels, not one number a block",
                            hint='Swap the operands: q.mean(dim=1) @ cache["c"].T sums over the channels.')
    if score.shape != (1, 1):
        wide = [axis + 1 for axis in (1, 0) if score.shape[axis] > 1]
        axes = " and ".join(map(str, sorted(wide)))
        raise ShapeMismatch(f"the score {score} is not one number a block",
                            hint=f"Reduce axis {axes} first: .max(dim=...), .mean(dim=...) or .sum(dim=...).",
                            fix=Fix("<arg>", f"<arg>{''.join(f'.max(dim={axis})' for axis in wide)}"))
    return SELECTION


def _topk_type(types: Sequence[Type], attrs: Attrs, geometry: Geometry) -> Type:
    k, tolerance = attrs.get("k"), attrs.get("tolerance")
    if k is not None and not (whole(k) and 1 <= k <= MOST_BLOCKS):
        raise BadArgument(f"k={shown(k)} is not a whole number from 1 on",
                          hint="Leave k out to take as many blocks as the operating point allows.")
    if tolerance is not None and not (finite(tolerance) and 0 < tolerance <= 1):
        raise BadArgument(f"tolerance={shown(tolerance)} is not in 0 .. 1",
                          hint="tolerance=0.2 allows a fifth of the best blocks to be missed; 0 is the default.")
    return _scored(types, attrs, geometry)


def _top_p_type(types: Sequence[Type], attrs: Attrs, geometry: Geometry) -> Type:
    p = attrs.get("p")
    if not finite(p) or not 0 < p <= 1:  # type: ignore[operator]  # finite() says so
        raise BadArgument(f"p={shown(p)} is not a share above 0 and up to 1", hint="Write ops.top_p(score, 0.9).")
    return _scored(types, attrs, geometry)


def _threshold_type(types: Sequence[Type], attrs: Attrs, geometry: Geometry) -> Type:
    if not finite(attrs.get("t")):
        raise BadArgument(f"t={shown(attrs.get('t'))} is not a finite number", hint="Write ops.threshold(score, 0.5).")
    return _scored(types, attrs, geometry)


def _check_tolerance(*, tolerate_ratio: object) -> None:
    if not finite(tolerate_ratio) or not 0 <= tolerate_ratio <= 1:  # type: ignore[operator]  # finite() says so
        raise BadArgument(f"tolerate_ratio={shown(tolerate_ratio)} is not a number in 0 .. 1")


def _approximate(score: Any, tolerate_ratio: float) -> Any:
    return score._apply("topk", **({"tolerance": float(tolerate_ratio)} if tolerate_ratio else {}))


def _check_k(*, k: object) -> None:
    if not whole(k) or not 1 <= k <= MOST_BLOCKS:  # type: ignore[operator]  # whole() says so
        raise BadArgument(f"TopK(k={shown(k)}): k is not a whole number from 1 on")


_topk = Word(name="topk", tensors=("score",), params=(("k", None), ("tolerance", 0.0)), floats=("tolerance",),
             silent=("tolerance",))
define(Op(
    name="topk", noun="selection", usage=_topk.usage, spelling=_topk.spell, word=_topk, infer=_topk_type,
    meaning="The blocks of the highest score: as many as the operating point allows, or k of them beside the reserved "
            "ones. tolerance is the share of the best that a kernel may miss.",
    evaluate=lambda scope, score, **rule: score, sides=INDEXER,
    samples=(Sample(args=(SCORE,), attrs={}), Sample(args=(SCORE,), attrs={"k": 29}),
             Sample(args=(SCORE,), attrs={"tolerance": 0.2})),
    upstream=(
        Upstream(name="topK", means="ops.topk(x)", sides=INDEXER, write=lambda score: score._apply("topk")),
        Upstream(name="approxTopK", means="ops.topk(x, tolerance=tolerate_ratio)", sides=INDEXER,
                 params=(("tolerate_ratio", 0.0),),
                 check=_check_tolerance, write=_approximate),
        Upstream(name="TopK", means="ops.topk(x, k)", sides=INDEXER, params=(("k", REQUIRED),), check=_check_k,
                 write=lambda score, k: score._apply("topk", k=k)),
    ),
))
_top_p = Word(name="top_p", tensors=("score",), params=(("p", REQUIRED),), floats=("p",))
define(Op(
    name="top_p", noun="selection", usage=_top_p.usage, spelling=_top_p.spell, word=_top_p, infer=_top_p_type,
    meaning="The fewest blocks whose shares, the softmax of the score over the row's blocks, reach p together; at most "
            "as many as the operating point allows. Of weights w, pass w.log().",
    evaluate=lambda scope, score, *, p: score, sides=INDEXER,
    samples=(Sample(args=(SCORE,), attrs={"p": 0.9}),),
))
_threshold = Word(name="threshold", tensors=("score",), params=(("t", REQUIRED),), floats=("t",))
define(Op(
    name="threshold", noun="selection", usage=_threshold.usage, spelling=_threshold.spell, word=_threshold,
    infer=_threshold_type,
    meaning="The blocks whose score is t or more, the highest first; at most as many as the operating point allows.",
    evaluate=lambda scope, score, *, t: score, sides=INDEXER,
    samples=(Sample(args=(SCORE,), attrs={"t": 0.5}),),
))


def _united(types: Sequence[Type], attrs: Attrs, geometry: Geometry) -> Type:
    if any(t != SELECTION for t in types):
        raise ShapeMismatch("| unites two selections", hint="Write ops.topk(a, k=8) | ops.topk(b, k=8).")
    return SELECTION


define(Op(
    name="union", noun="selection", usage="a | b", spelling=infix("|"), infer=_united,
    meaning="The blocks that either selection takes, each once.",
    evaluate=lambda scope, a, b: join(scope, a, b, dim=2), sides=INDEXER, commutative=True,
    samples=(Sample(args=(SELECTION, SELECTION), attrs={}),), operations=lambda types, out: 0,
    upstream=(Upstream(name="Union", means="x | y", sides=INDEXER, tensors=2, write=lambda a, b: a | b),),
))


def _nothing(scope: object) -> Any:
    raise AssertionError("every block is taken: there is nothing to score")


_everything = Word(name="everything", tensors=())
define(Op(
    name="everything", meaning="Every block, whatever the budget: dense attention.", noun="selection",
    usage=_everything.usage, spelling=_everything.spell, word=_everything, sides=INDEXER, leaf=True,
    infer=lambda types, attrs, geometry: SELECTION, evaluate=_nothing, operations=lambda types, out: 0,
))
