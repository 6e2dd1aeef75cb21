"""Python's arithmetic, comparisons and indexing as a flow has them: the same, with bounds on time, size and kinds."""
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from vortex.errors import BadArgument, FlowContractError, FlowError
from vortex.language.ops.shapes import shown
from vortex.language.symbols import LEAD, Lead, Value
from vortex.language.things import Builtin, Class, Hint, Kind, Thing, tensor_of

MOST_STEPS = 100_000
STEPS_OF_AN_OP = 20
MOST_ITEMS = 4_096
MOST_TEXT = 1_000
MOST_POWER = 64
MOST_SHIFT = 62
LARGEST = 1 << 63

ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "Add": operator.add, "Sub": operator.sub, "Mult": operator.mul, "Div": operator.truediv,
    "FloorDiv": operator.floordiv, "Mod": operator.mod, "Pow": operator.pow, "MatMult": operator.matmul,
    "BitOr": operator.or_, "BitAnd": operator.and_, "BitXor": operator.xor, "LShift": operator.lshift,
    "RShift": operator.rshift,
}
RELATIONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "Gt": operator.gt, "GtE": operator.ge, "Lt": operator.lt, "LtE": operator.le, "Eq": operator.eq, "NotEq": operator.ne,
}
SIGNS: Mapping[str, Callable[[Any], Any]] = {"USub": operator.neg, "UAdd": operator.pos, "Invert": operator.invert}
WHOLE_ONLY = ("BitOr", "BitAnd", "BitXor", "LShift", "RShift")
PLAIN = (int, float, str, bool, type(None))


class Guard:
    """Counts what one flow's Python does while it is read, and bounds it."""

    def __init__(self) -> None:
        self.steps = 0

    def step(self, count: int = 1) -> None:
        """Raises FlowContractError past the limit."""
        self.steps += count
        if self.steps > MOST_STEPS:
            raise FlowContractError(f"the flow takes more than {MOST_STEPS:,} steps",
                                    hint="Shorten its loops: they run once, while the flow is read.")

    def op(self, size: int) -> None:
        """One op written down, with attributes of this length."""
        self.step(STEPS_OF_AN_OP + size)

    def sized(self, items: Any) -> Any:
        """A container that was just made, if it is not too long."""
        if len(items) > MOST_ITEMS:
            raise BadArgument(f"a list longer than {MOST_ITEMS:,}")
        self.step(len(items) // 8)
        return items

    def room(self, items: Any) -> Any:
        """A container that has room for one more."""
        if len(items) >= MOST_ITEMS:
            raise BadArgument(f"a list longer than {MOST_ITEMS:,}")
        return items

    def text(self, text: str) -> str:
        if len(text) > MOST_TEXT:
            raise BadArgument(f"a text longer than {MOST_TEXT:,}")
        return text

    def each(self, items: object) -> Iterator[object]:
        """`items`, counted."""
        for item in _iterable(items):
            self.step()
            yield item

    def listed(self, items: object) -> list[object]:
        """`items` at once, counted."""
        return self.sized(list(islice(self.each(items), MOST_ITEMS + 1)))  # type: ignore[no-any-return]  # a list

    def binary(self, name: str, left: Any, right: Any) -> Any:
        """left <op> right for tensors, for numbers within 64 bits, and for short texts and lists. Raises BadArgument."""
        left, right = tensor_of(left), tensor_of(right)
        if isinstance(left, Value) or isinstance(right, Value):
            return _of_tensors(name, left, right)
        if isinstance(left, tuple | list) or isinstance(right, tuple | list):
            return self.sized(_of_lists(name, left, right))
        if isinstance(left, str) and isinstance(right, str) and name == "Add":
            return self.text(left + right)
        if name == "BitOr" and _types(left) and _types(right):
            return Hint("a type")
        return _of_numbers(name, left, right)

    def unary(self, name: str, value: Any) -> Any:
        value = tensor_of(value)
        if name == "Not":
            return not self.truth(value)
        if not isinstance(value, Value | int | float) or (name == "Invert" and not isinstance(value, int)):
            raise BadArgument(f"there is no sign before {shown(value)}")
        return SIGNS[name](value)

    def truth(self, value: object) -> bool:
        """Raises FlowError where the answer would depend on data."""
        value = tensor_of(value)
        if isinstance(value, Value):
            return bool(value)
        if isinstance(value, (*PLAIN, list, tuple, dict, range)):
            return bool(value)
        return True

    def compare(self, name: str, left: Any, right: Any) -> Any:
        if name in ("Is", "IsNot"):
            return (left is right) == (name == "Is")
        if name in ("In", "NotIn"):
            return self.holds(right, left) == (name == "In")
        left, right = tensor_of(left), tensor_of(right)
        if isinstance(left, Lead) or isinstance(right, Lead):
            raise BadArgument("the lead of a shape is not a number", hint="Use x.shape[1] and x.shape[2].")
        if isinstance(left, Value) or isinstance(right, Value):
            return _of_tensors(name, left, right)
        if name in ("Eq", "NotEq"):
            return self.equal(left, right) == (name == "Eq")
        self.bounded((left, right))
        return RELATIONS[name](left, right)

    def equal(self, left: object, right: object) -> bool:
        self.bounded((left, right))
        return bool(left == right)

    def holds(self, items: object, sought: object) -> bool:
        if isinstance(items, Thing):
            return items.holds(sought)
        if isinstance(items, str):
            return isinstance(sought, str) and sought in items
        if isinstance(items, dict):
            return self.key(sought) in items
        return any(self.equal(item, sought) for item in self.each(items))

    def key(self, key: object) -> Any:
        """A key of a dict: a number, a text, or a tuple of them."""
        if isinstance(key, tuple):
            self.bounded(key)
            return tuple(self.key(part) for part in key)
        if not isinstance(key, PLAIN):
            raise BadArgument(f"{shown(key)} is not a key", hint="A key is a text or a number.")
        return key

    def bounded(self, value: object, depth: int = 8) -> None:
        """Counts all that a container holds, however often. Raises BadArgument where that is too much."""
        if isinstance(value, tuple | list | dict):
            if depth == 0:
                raise BadArgument("a list nested too deeply")
            for item in value.values() if isinstance(value, dict) else value:
                self.step()
                self.bounded(item, depth - 1)
        elif isinstance(value, Value):
            raise FlowError("a list with tensors in it is compared", hint="Compare tensors one by one: x > y.")

    def shown(self, value: object, depth: int = 3) -> str:
        """A value as an f-string has it."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, tuple | list) and depth:
            return self.text(f"({', '.join(self.shown(item, depth - 1) for item in self.listed(value))})")
        if isinstance(value, Thing):
            return value.kind
        return str(value) if isinstance(value, Value | Lead) else shown(value)

    def formatted(self, value: object, spec: str) -> str:
        try:
            if isinstance(value, int | float | str):
                return self.text(format(value, spec))
        except (ValueError, OverflowError):
            pass
        raise BadArgument(f"{shown(value)} is not formatted as {spec!r}", hint="Such are: {x:.2f}, {n:04d}.")


def _iterable(items: object) -> Iterable[object]:
    if isinstance(items, Thing):
        return items.each()
    if isinstance(items, Value) or not isinstance(items, Iterable):
        raise BadArgument(f"cannot loop over {shown(items)}", hint="Loop over range(n), a tuple or a list.")
    return list(items) if isinstance(items, dict) else items


def _types(value: object) -> bool:
    return value is None or isinstance(value, Hint | Class | Kind) or (isinstance(value, Builtin) and bool(value.types))


def _of_tensors(name: str, left: Any, right: Any) -> Any:
    table = ARITHMETIC if name in ARITHMETIC else RELATIONS
    if name in ("FloorDiv", "Mod", "BitAnd", "BitXor", "LShift", "RShift"):
        raise BadArgument(f"there is no {SYMBOLS[name]} of tensors")
    if isinstance(left, Value) or name != "Pow":
        try:
            return table[name](left, right)
        except TypeError as error:
            raise BadArgument(f"cannot compute with {shown(left)} and {shown(right)}") from error
    raise BadArgument("there is no ** of tensors", hint="Write (x * log_of_base).exp().")


SYMBOLS = {"FloorDiv": "//", "Mod": "%", "BitAnd": "&", "BitXor": "^", "LShift": "<<", "RShift": ">>"}


def _of_lists(name: str, left: Any, right: Any) -> Any:
    if name == "Add" and type(left) is type(right):
        length = len(left) + len(right)
    elif name == "Mult" and isinstance(right, int) and isinstance(left, tuple | list):
        length = len(left) * right
    elif name == "Mult" and isinstance(left, int):
        length = len(right) * left
    else:
        raise BadArgument(f"cannot compute with {shown(left)} and {shown(right)}")
    if length > MOST_ITEMS:
        raise BadArgument(f"a list longer than {MOST_ITEMS:,}")
    return ARITHMETIC[name](left, right)


def _of_numbers(name: str, left: Any, right: Any) -> Any:
    kinds = int if name in WHOLE_ONLY else int | float
    if left is LEAD or right is LEAD:
        raise BadArgument("the lead of a shape is not a number", hint="Use x.shape[1] and x.shape[2].")
    if not isinstance(left, kinds) or not isinstance(right, kinds):
        raise BadArgument(f"cannot compute with {shown(left)} and {shown(right)}")
    if name == "Pow" and abs(right) > MOST_POWER:
        raise BadArgument(f"a power above {MOST_POWER}")
    if name == "LShift" and right > MOST_SHIFT:
        raise BadArgument(f"a shift by more than {MOST_SHIFT}")
    try:
        return number(ARITHMETIC[name](left, right))
    except (ArithmeticError, ValueError) as error:
        raise BadArgument(f"{error}") from None


def number(value: Any) -> Any:
    """A number of 64 bits. Raises BadArgument."""
    if isinstance(value, complex) or (isinstance(value, int) and abs(value) >= LARGEST):
        raise BadArgument("a number of more than 64 bits")
    return value


def whole_of(value: object = 0) -> int:
    """int(): of finite numbers."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise BadArgument(f"int() takes a finite number, not {shown(value)}")
    return int(number(int(value)))
