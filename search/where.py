"""Small questions about standings: `accuracy >= dense - 0.02`, and the keys they are sorted by."""
import ast
import difflib
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from search.frontier import Frontier, Standing
from vortex.errors import VortexError, Where

Values: TypeAlias = Mapping[str, Any]
Test: TypeAlias = Callable[[Standing], bool]
NUMBERS = ("accuracy", "speed", "share", "bytes", "round", "id", "dense")
TEXTS = ("tier", "author", "name", "place")
LONGEST = 300
EXAMPLE = 'For example: "accuracy >= dense - 0.02 and speed > 2".'
_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}
_ORDER: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq,
    ast.NotEq: operator.ne}


class QueryError(VortexError):
    """A question about the frontier that cannot be read."""


@dataclass(frozen=True)
class _Part:
    """A piece of the expression: what kind of value it gives, and how it is found."""

    kind: str                         # "number", "text" or "truth"
    value: Callable[[Values], Any]


def where(text: str, frontier: Frontier) -> Test:
    """The test that `text` spells. Raises QueryError.

    Numbers: accuracy, speed, share, bytes, round, id, and dense (the dense control's accuracy); texts: tier, author,
    name, place. A figure that was not measured compares as false.
    """
    if len(text) > LONGEST:
        raise QueryError(f"the question is longer than {LONGEST} characters", hint=EXAMPLE)
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise QueryError(f"cannot read {text!r}", hint=EXAMPLE) from error
    part = _part(tree.body, text)
    if part.kind != "truth":
        raise QueryError(f"{text!r} is a {part.kind}, not a comparison", hint=EXAMPLE)
    dense = frontier.dense
    if dense is None and any(isinstance(node, ast.Name) and node.id == "dense" for node in ast.walk(tree)):
        raise QueryError("the dense control of this campaign was not measured", hint="Compare with a number instead.")
    accuracy = math.nan if dense is None else dense.accuracy.value
    return lambda one: bool(part.value({**values(one), "dense": accuracy}))


def order(key: str) -> Callable[[Sequence[Standing]], list[Standing]]:
    """Sorts by `key`, largest first for `-key`; equals stay in the order of ids. Raises QueryError."""
    name = key.removeprefix("-")
    known = tuple(n for n in NUMBERS if n != "dense") + TEXTS
    if name not in known:
        raise QueryError(f"cannot sort by {name!r}", hint=_nearest(name, known))

    def sort(standings: Sequence[Standing]) -> list[Standing]:
        by_id = sorted(standings, key=lambda one: one.candidate.id)
        return sorted(by_id, key=lambda one: values(one)[name], reverse=key.startswith("-"))
    return sort


def values(one: Standing) -> dict[str, Any]:
    """What questions may be asked about, by name."""
    candidate = one.candidate
    return {"accuracy": one.accuracy.value, "speed": one.speed.value, "share": one.share, "round": candidate.round,
            "bytes": math.nan if one.bytes_per_step is None else one.bytes_per_step, "id": candidate.id,
            "tier": candidate.tier, "author": candidate.author, "name": candidate.name, "place": one.place.value}


def _part(node: ast.expr, text: str) -> _Part:
    match node:
        case ast.Name():
            return _name(node, text)
        case ast.Constant(value=bool()):
            pass
        case ast.Constant(value=int() | float() | str() as value):
            return _Part("text" if isinstance(value, str) else "number", lambda _: value)
        case ast.UnaryOp(op=ast.USub()):
            inner = _of_kind("number", node.operand, text)
            return _Part("number", lambda v: -inner(v))
        case ast.UnaryOp(op=ast.Not()):
            inner = _of_kind("truth", node.operand, text)
            return _Part("truth", lambda v: not inner(v))
        case ast.BinOp():
            return _arithmetic(node, text)
        case ast.BoolOp():
            parts = [_of_kind("truth", one, text) for one in node.values]
            join = all if isinstance(node.op, ast.And) else any
            return _Part("truth", lambda v: join(part(v) for part in parts))
        case ast.Compare():
            return _comparison(node, text)
    raise _refusal(node, text, "is not part of this small language")


def _name(node: ast.Name, text: str) -> _Part:
    name = node.id
    if name not in NUMBERS + TEXTS:
        raise _refusal(node, text, "is not a name known here", _nearest(name, NUMBERS + TEXTS))
    return _Part("number" if name in NUMBERS else "text", lambda v: v[name])


def _arithmetic(node: ast.BinOp, text: str) -> _Part:
    left, right = _of_kind("number", node.left, text), _of_kind("number", node.right, text)
    if isinstance(node.op, ast.Div):
        return _Part("number", lambda v: left(v) / right(v) if right(v) else math.nan)
    if type(node.op) not in _ARITHMETIC:
        raise _refusal(node, text, "uses an operator other than + - * /")
    apply = _ARITHMETIC[type(node.op)]
    return _Part("number", lambda v: apply(left(v), right(v)))


def _comparison(node: ast.Compare, text: str) -> _Part:
    parts = [_part(one, text) for one in (node.left, *node.comparators)]
    if len({part.kind for part in parts}) > 1 or parts[0].kind == "truth":
        raise _refusal(node, text, "compares a " + " with a ".join(part.kind for part in parts))
    if any(type(op) not in _ORDER for op in node.ops):
        raise _refusal(node, text, "uses a comparison other than < <= > >= == !=")
    steps = [(_ORDER[type(op)], a.value, b.value) for op, a, b in zip(node.ops, parts, parts[1:], strict=False)]
    return _Part("truth", lambda v: all(compare(a(v), b(v)) for compare, a, b in steps))


def _of_kind(kind: str, node: ast.expr, text: str) -> Callable[[Values], Any]:
    part = _part(node, text)
    if part.kind != kind:
        raise _refusal(node, text, f"is a {part.kind}, where a {kind} is needed")
    return part.value


def _refusal(node: ast.expr, text: str, what: str, hint: str = EXAMPLE) -> QueryError:
    piece = ast.get_source_segment(text.strip(), node) or text
    return QueryError(f"{piece!r} {what}", hint=hint, where=Where("--where", 1, text))


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return (f"Did you mean {near[0]!r}? " if near else "") + f"Names: {', '.join(known)}."
