"""What a budget policy computes: a frozen, typed program over C's int, float and double, evaluated as C does.

`vortex/budget.py` reads such programs from text. Where C leaves the result open (an int past 32 bits, a float without an
int value, a division by zero) the evaluation refuses instead of choosing.
"""
import ctypes
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from vortex.errors import BudgetError, Where

Kind = Literal["int", "float", "double"]
RANK: tuple[Kind, ...] = ("int", "float", "double")
LARGEST, SMALLEST = 2**31 - 1, -2**31
INPUTS: dict[str, Kind] = {"cached_block_len": "int", "topk_val": "int", "topk_ratio": "float",
                           "block_reserved_bos": "int", "block_reserved_eos": "int"}


@dataclass(frozen=True, slots=True)
class Number:
    kind: Kind
    value: float


@dataclass(frozen=True, slots=True)
class Name:
    kind: Kind
    slot: str


@dataclass(frozen=True, slots=True)
class Apply:
    """`op` of values that are all of one kind; the result is of `kind`. A cast is the op `to`."""

    op: str
    kind: Kind
    args: tuple["Expression", ...]
    line: int


@dataclass(frozen=True, slots=True)
class Choose:
    """`test ? yes : no`; also && and ||, which do not compute what they do not need."""

    kind: Kind
    test: "Expression"
    yes: "Expression"
    no: "Expression"


@dataclass(frozen=True, slots=True)
class Assign:
    slot: str
    value: "Expression"


@dataclass(frozen=True, slots=True)
class Branch:
    test: "Expression"
    yes: tuple["Statement", ...]
    no: tuple["Statement", ...]


@dataclass(frozen=True, slots=True)
class Return:
    value: "Expression"


Expression: TypeAlias = Number | Name | Apply | Choose
Statement: TypeAlias = Assign | Branch | Return


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy that was read: every path returns an int, every name is given a value before it is read."""

    text: str
    body: tuple[Statement, ...]

    def __call__(self, **inputs: float) -> int:
        """The value for INPUTS. Raises BudgetError, placed in the text."""
        try:
            values = {name: _converted(kind, inputs[name]) for name, kind in INPUTS.items()}
        except ArithmeticError as error:
            raise BudgetError(f"a setting that the policy may read: {error}", where=Where("schedule_policy")) from None
        found = _run(self.body, values, self.text)
        assert found is not None
        return int(found)


def single(value: float) -> float:
    """`value` rounded to a C float."""
    return ctypes.c_float(value).value


def refusal(message: str, text: str, line: int, hint: str = "") -> BudgetError:
    lines = text.splitlines()
    where = Where("schedule_policy", line, lines[line - 1] if 0 < line <= len(lines) else "")
    return BudgetError(f"{message} (line {line} of schedule_policy)", hint=hint, where=where)


def _converted(kind: Kind, value: float) -> float:
    """As C converts. Raises ArithmeticError for an int that C leaves open."""
    if kind == "double":
        return float(value)
    if kind == "float":
        return single(value)
    if not math.isfinite(value) or not SMALLEST <= int(value) <= LARGEST:
        raise OverflowError(f"{value:.12g} is not a 32-bit int")
    return int(value)


def _whole(function: Callable[[float], int]) -> Callable[[float], float]:
    return lambda x: float(function(x)) if math.isfinite(x) else x


def _divided(a: float, b: float) -> float:
    if b == 0:
        raise ZeroDivisionError("a division by zero")
    if isinstance(a, int) and isinstance(b, int):
        quotient = abs(a) // abs(b)
        return quotient if (a < 0) == (b < 0) else -quotient
    return a / b


def _lesser(a: float, b: float) -> float:
    return b if a != a or b < a else a


def _greater(a: float, b: float) -> float:
    return b if a != a or b > a else a


STRICT: Mapping[str, Callable[..., float]] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": _divided,
    "%": lambda a, b: a - b * _divided(a, b),
    "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b, "!=": lambda a, b: a != b,
    "negative": lambda a: -a, "!": lambda a: not a, "truth": lambda a: a != 0, "to": lambda a: a,
    "min": _lesser, "max": _greater, "abs": abs, "sqrt": lambda a: math.sqrt(a) if a >= 0 else math.nan,
    "ceil": _whole(math.ceil), "floor": _whole(math.floor),
}


def _value(node: Expression, values: Mapping[str, float], text: str) -> float:
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Name):
        return values[node.slot]
    if isinstance(node, Choose):
        return _value(node.yes if _value(node.test, values, text) else node.no, values, text)
    args = [_value(arg, values, text) for arg in node.args]
    try:
        return _converted(node.kind, STRICT[node.op](*args))
    except ArithmeticError as error:
        raise refusal(f"the policy cannot be evaluated: {error}", text, node.line,
                      f"At a row of {values['cached_block_len']} blocks.") from None


def _run(body: Sequence[Statement], values: dict[str, float], text: str) -> float | None:
    """The returned value, or None where the end of `body` is reached."""
    for statement in body:
        if isinstance(statement, Assign):
            values[statement.slot] = _value(statement.value, values, text)
            continue
        if isinstance(statement, Return):
            return _value(statement.value, values, text)
        found = _run(statement.yes if _value(statement.test, values, text) else statement.no, values, text)
        if found is not None:
            return found
    return None
