"""How a flow's calls become operands and attributes of an op, and what is said of a call that cannot be."""
import ast
import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar

from vortex.errors import BadArgument, Fix
from vortex.ir import Attr
from vortex.language.ops.record import OPS, REQUIRED, Op, Word
from vortex.language.ops.shapes import shown

MOST_NUMBERS = 10_000
MOST_NAMES = 60
STEPS_OF_A_NAME = 4
SPEND: ContextVar[Callable[[int], None]] = ContextVar("spend", default=lambda steps: None)    # counts the work of a flow
MOST_LETTERS = 80      # of names that are compared


def plain(text: str) -> str:
    """An expression without the parentheses that it does not need."""
    return ast.unparse(ast.parse(text, mode="eval")).replace("'", '"')


def number(value: float) -> float:
    """A float with no sign on zero; too large a whole number becomes infinite, which no op takes."""
    try:
        return float(value) + 0.0
    except OverflowError:
        return math.inf


def nearest(name: str, names: Sequence[str]) -> str:
    """A hint with the most similar of `names`."""
    SPEND.get()(STEPS_OF_A_NAME * len(names))
    close = difflib.get_close_matches(name[:MOST_LETTERS], [one for one in names if len(one) <= MOST_LETTERS], n=1, cutoff=0.5)
    return f"Did you mean {close[0]}?" if close else f"There are: {', '.join(sorted(names)[:MOST_NAMES])}."


def words(*, method: bool) -> dict[str, list[Op]]:
    """Ops by the name under which flows call them."""
    found: dict[str, list[Op]] = {}
    for op in OPS.values():
        if op.word is not None and op.word.method == method:
            found.setdefault(op.word.name, []).append(op)
    return found


def attribute(value: object, room: list[int], depth: int = 3) -> Attr:
    """Lists and ranges as tuples, at most three deep and `room[0]` numbers in all. Raises BadArgument."""
    if isinstance(value, list | tuple | range):
        SPEND.get()(len(value))
        room[0] -= len(value)
        if depth == 0 or room[0] < 0:
            raise BadArgument(f"an argument is nested too deeply or longer than {MOST_NUMBERS:,}")
        return tuple(attribute(item, room, depth - 1) for item in value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise BadArgument(f"an argument must be numbers, not {shown(value)}")


def floated(value: Attr) -> Attr:
    if isinstance(value, tuple):
        return tuple(floated(item) for item in value)
    return number(value) if isinstance(value, int) and not isinstance(value, bool) else value


def bind(word: Word, args: Sequence[object], named: Mapping[str, object]) -> tuple[list[object], dict[str, Attr]]:
    """Operands and attributes of a call. Raises BadArgument."""
    rest = dict(named)
    for keep in ("keepdim", "keepdims"):
        if "dim" in dict(word.params) and rest.pop(keep, True) is not True:
            raise BadArgument("an axis that is reduced is kept", hint=f"Leave {keep} out.", fix=Fix(f", {keep}=False", ""))
    order = [*word.tensors, *(name for name, _ in word.params)] if not word.many else \
        ["parts", *(name for name, _ in word.params)]
    if len(args) > len(order):
        raise BadArgument(f"{word.usage} is given {len(args)} arguments")
    given = dict(zip(order, args, strict=False))
    twice = next((name for name in rest if name in given), None)
    unknown = next((name for name in rest if name not in order), None)
    if unknown:
        raise _not_taken(word, unknown, order)
    if twice:
        raise BadArgument(f"{twice} is given twice", hint=f"Write {word.usage}.")
    values = {**dict(word.params), **given, **rest}
    missing = next((name for name in order if values.get(name, REQUIRED) is REQUIRED), None)
    if missing:
        raise BadArgument(f"{missing} is missing", hint=f"Write {word.usage}.")
    return _operands(word, values), _attrs(word, values)


def _not_taken(word: Word, name: str, order: Sequence[str]) -> BadArgument:
    close = ["dim"] if name == "axis" else difflib.get_close_matches(name, order, n=1, cutoff=0.5)
    return BadArgument(f"{word.usage} does not take {name[:40]}=", hint=f"It takes {', '.join(order)}.",
                       fix=Fix(f"{name}=", f"{close[0]}=") if close and close[0] in order else None)


def _operands(word: Word, values: Mapping[str, object]) -> list[object]:
    if not word.many:
        return [values[name] for name in word.tensors]
    parts = values["parts"]
    if not isinstance(parts, list | tuple) or not parts:
        raise BadArgument(f"{word.usage} takes a list of tensors")
    if len(parts) > MOST_NUMBERS:
        raise BadArgument(f"more than {MOST_NUMBERS:,} tensors at once")
    return list(parts)


def _attrs(word: Word, values: Mapping[str, object]) -> dict[str, Attr]:
    attrs = {name: attribute(values[name], [MOST_NUMBERS]) for name, _ in word.params}
    return {name: floated(value) if name in word.floats else value
            for name, value in attrs.items()
            if value is not None and name not in dict(word.given)
            and not (name in word.silent and floated(value) == dict(word.params)[name])}
