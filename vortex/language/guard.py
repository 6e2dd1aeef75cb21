"""What stands in for Python's own arithmetic and builtins while untrusted flow text runs: the same, with bounds."""
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from vortex.errors import BadArgument, FlowContractError
from vortex.language.flow import vFlow
from vortex.language.ops.shapes import shown, whole
from vortex.language.symbols import Value

MOST_STEPS = 20_000
MOST_ITEMS = 4_096
MOST_TEXT = 200
MOST_POWER = 64
LARGEST = 1 << 63

ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "Add": operator.add, "Sub": operator.sub, "Mult": operator.mul, "Div": operator.truediv,
    "FloorDiv": operator.floordiv, "Mod": operator.mod, "Pow": operator.pow, "MatMult": operator.matmul,
    "BitOr": operator.or_,
}


class Guard:
    """Counts the steps of one flow's Python and bounds its numbers and lists."""

    def __init__(self) -> None:
        self.steps = 0

    def step(self) -> None:
        """One turn of a loop or one call. Raises FlowContractError past the limit."""
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise FlowContractError(f"the flow takes more than {MOST_STEPS:,} turns of its loops and calls")

    def each(self, items: Iterable[object]) -> Iterator[object]:
        """`items`, counted."""
        if isinstance(items, str | Value) or not isinstance(items, Iterable):
            raise BadArgument(f"cannot loop over {shown(items)}", hint="Loop over range(n), a tuple or a list.")
        for item in items:
            self.step()
            yield item

    def binary(self, name: str, left: Any, right: Any) -> Any:
        """left <op> right for tensors, for numbers within 64 bits, and for short lists. Raises BadArgument."""
        if isinstance(left, Value) or isinstance(right, Value):
            return _of_tensors(name, left, right)
        if isinstance(left, tuple | list) or isinstance(right, tuple | list):
            return _of_lists(name, left, right)
        if not isinstance(left, int | float) or not isinstance(right, int | float):
            raise BadArgument(f"cannot compute with {shown(left)} and {shown(right)}")
        if name == "Pow" and abs(right) > MOST_POWER:
            raise BadArgument(f"a power above {MOST_POWER}")
        try:
            result = ARITHMETIC[name](left, right)
        except (ArithmeticError, TypeError) as error:
            raise BadArgument(f"{error}") from None
        if isinstance(result, complex) or (isinstance(result, int) and abs(result) >= LARGEST):
            raise BadArgument("a number of more than 64 bits")
        return result

    def own(self, flow: object, name: str) -> Any:
        """self.name, where self is the flow: under another object a name may lead anywhere."""
        if not isinstance(flow, vFlow):
            raise FlowContractError(f"self.{name} is asked of {shown(flow)}", hint="self is the flow and nothing else.")
        return getattr(flow, name)

    def joined(self, *parts: object) -> str:
        """An f-string of short texts and numbers."""
        if any(not isinstance(part, str | int | float) for part in parts):
            raise BadArgument("a text is made of texts and numbers")
        text = "".join(str(part) for part in parts)
        if len(text) > MOST_TEXT:
            raise BadArgument(f"a text longer than {MOST_TEXT}")
        return text

    def builtins(self) -> dict[str, Any]:
        """The builtins of a flow."""
        return {
            "range": _range, "len": len, "min": min, "max": max, "int": _whole, "float": float, "abs": abs,
            "tuple": lambda items=(): tuple(self.each(items)), "list": lambda items=(): list(self.each(items)),
            "enumerate": lambda items, start=0: enumerate(self.each(items), _whole(start)),
            "zip": lambda *several: zip(*(self.each(items) for items in several), strict=False),
            "sum": lambda items, start=0: self._sum(items, start),
        }

    def _sum(self, items: Iterable[object], start: object) -> object:
        for item in self.each(items):
            start = self.binary("Add", start, item)
        return start


def _of_tensors(name: str, left: Any, right: Any) -> Any:
    if name in ("FloorDiv", "Mod"):
        raise BadArgument("there is no // or % of tensors")
    if isinstance(left, Value) or name != "Pow":
        try:
            return ARITHMETIC[name](left, right)
        except TypeError as error:
            raise BadArgument(f"cannot compute with {shown(left)} and {shown(right)}") from error
    raise BadArgument("there is no ** of tensors", hint="Write (x * log_of_base).exp().")


def _of_lists(name: str, left: Any, right: Any) -> Any:
    if name == "Add" and type(left) is type(right):
        length = len(left) + len(right)
    elif name == "Mult" and isinstance(left, tuple | list) and isinstance(right, int):
        length = len(left) * right
    else:
        raise BadArgument(f"cannot compute with {shown(left)} and {shown(right)}")
    if length > MOST_ITEMS:
        raise BadArgument(f"a list longer than {MOST_ITEMS:,}")
    return ARITHMETIC[name](left, right)


def _range(*ends: int) -> range:
    if not 1 <= len(ends) <= 3 or not all(whole(end) for end in ends) or (len(ends) == 3 and not ends[2]):
        raise BadArgument("range takes one to three whole numbers, the step not 0")
    items = range(*ends)
    if len(items) > MOST_ITEMS:
        raise BadArgument(f"a range longer than {MOST_ITEMS:,}")
    return items


def _whole(value: object = 0) -> int:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise BadArgument(f"int() takes a finite number, not {shown(value)}")
    return int(value)
