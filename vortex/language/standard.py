"""What a flow has of Python's builtins and of `math`."""
import math
from collections.abc import Callable
from typing import Any

from vortex.errors import BadArgument, FlowContractError, FlowError, ForbiddenSyntax, UnknownOp
from vortex.language.guard import MOST_ITEMS, Guard, number, whole_of
from vortex.language.members import member
from vortex.language.ops.shapes import shown, whole
from vortex.language.symbols import Value
from vortex.language.things import Builtin, Class, Hint, Instance, Kind, Thing, tensor_of

ERRORS = ("ArithmeticError", "AssertionError", "AttributeError", "Exception", "IndexError", "KeyError",
          "NotImplementedError", "RuntimeError", "TypeError", "ValueError")
OF_ONE = ("sqrt", "exp", "log2", "log10", "ceil", "floor", "fabs", "isqrt", "sin", "cos", "tanh", "isfinite", "isnan")
MOST_DIGITS = 18
OF_TWO = ("pow", "gcd", "hypot", "fmod", "copysign")


def builtins(guard: Guard) -> dict[str, object]:
    """The builtins of a flow, bounded by `guard`."""
    table: dict[str, Callable[..., object]] = {
        "range": _range, "len": _length, "abs": lambda x: guard.unary("USub", x) if _negative(x) else x,
        "min": lambda *items, **named: _extreme(guard, "Lt", items, named),
        "max": lambda *items, **named: _extreme(guard, "Gt", items, named),
        "round": lambda x, digits=None: _rounded(x, digits), "pow": lambda x, y: guard.binary("Pow", x, y),
        "divmod": lambda x, y: (guard.binary("FloorDiv", x, y), guard.binary("Mod", x, y)),
        "enumerate": lambda items, start=0: list(enumerate(guard.listed(items), whole_of(start))),
        "zip": lambda *several, strict=False: guard.sized(list(zip(*map(guard.listed, several), strict=bool(strict)))),
        "reversed": lambda items: guard.listed(items)[::-1], "sorted": lambda items, **named: _sorted(guard, items, **named),
        "sum": lambda items, start=0: _sum(guard, items, start), "print": lambda *items, **named: None,
        "any": lambda items: any(guard.truth(item) for item in guard.each(items)),
        "all": lambda items: all(guard.truth(item) for item in guard.each(items)),
        "map": lambda function, *several: [_called(function, *row) for row in zip(*map(guard.listed, several), strict=False)],
        "isinstance": _is_instance, "hasattr": _has, "getattr": _get, "setattr": _set,
        "callable": lambda x: isinstance(x, Thing) and not isinstance(x, Hint | Instance),
    }
    types: dict[str, tuple[Callable[..., object], tuple[type, ...]]] = {
        "int": (whole_of, (int,)), "float": (lambda x=0.0: float(_real(x)), (float,)), "bool": (guard.truth, (bool,)),
        "str": (lambda x="": guard.shown(x), (str,)), "dict": (lambda *items, **named: _dict(guard, items, named), (dict,)),
        "tuple": (lambda items=(): tuple(guard.listed(items)), (tuple,)), "list": (lambda items=(): guard.listed(items), (list,)),
        "set": (lambda items=(): unique(guard, items), (tuple,)), "frozenset": (lambda items=(): unique(guard, items), (tuple,)),
    }
    found: dict[str, object] = {name: Builtin(name, function) for name, function in table.items()}
    found |= {name: Builtin(name, function, kinds) for name, (function, kinds) in types.items()}
    found |= {name: Kind(name) for name in ERRORS}
    return {**found, "object": Hint("object"), "__name__": "flow"}


def mathematics() -> dict[str, object]:
    """What a flow has of the module `math`."""
    found: dict[str, object] = {"pi": math.pi, "e": math.e, "tau": math.tau, "inf": math.inf, "nan": math.nan}
    for name in (*OF_ONE, *OF_TWO):
        found[name] = Builtin(f"math.{name}", _of_math(getattr(math, name)))
    return {**found, "log": Builtin("math.log", lambda x, base=math.e: math.log(_real(x), _real(base)))}


def _of_math(function: Callable[..., Any]) -> Callable[..., object]:
    return lambda *args: number(function(*map(_real, args)))


def _real(value: object) -> Any:
    if not isinstance(value, int | float):
        raise BadArgument(f"a number is wanted, not {shown(tensor_of(value))}", hint=_instead(value))
    return value


def _instead(value: object) -> str:
    return "Tensors have methods: x.abs(), x.exp(), x.sqrt()." if isinstance(tensor_of(value), Value) else ""


def _rounded(x: object, digits: object) -> Any:
    if digits is not None and not (isinstance(digits, int) and abs(digits) <= MOST_DIGITS):
        raise BadArgument(f"round() to {shown(digits)} digits", hint=f"It takes -{MOST_DIGITS} to {MOST_DIGITS}.")
    return number(round(_real(x), digits))


def _negative(x: object) -> bool:
    return bool(_real(x) < 0)


def _range(*ends: int) -> range:
    if not 1 <= len(ends) <= 3 or not all(whole(end) for end in ends) or (len(ends) == 3 and not ends[2]):
        raise BadArgument("range takes one to three whole numbers, the step not 0")
    items = range(*ends)
    if len(items) > MOST_ITEMS:
        raise BadArgument(f"a range longer than {MOST_ITEMS:,}")
    return items


def _length(items: object) -> int:
    if isinstance(items, str | tuple | list | dict | range):
        return len(items)
    if isinstance(items, Thing):
        return len(list(items.each()))
    raise FlowContractError(f"{shown(items)} has no length")


def _sum(guard: Guard, items: object, start: object) -> object:
    for item in guard.each(items):
        start = guard.binary("Add", start, item)
    return start


def _extreme(guard: Guard, relation: str, items: tuple[object, ...], named: dict[str, object]) -> object:
    if not set(named) <= {"default"}:
        raise BadArgument(f"{sorted(named)[0]}= is not taken")
    values = guard.listed(items[0]) if len(items) == 1 else list(items)
    if not values:
        if "default" in named:
            return named["default"]
        raise BadArgument("the least or largest of nothing")
    best = values[0]
    for value in values[1:]:
        if guard.truth(guard.compare(relation, value, best)):
            best = value
    return best


def _sorted(guard: Guard, items: object, reverse: bool = False) -> list[Any]:
    values: list[Any] = guard.listed(items)
    guard.bounded(values)
    return sorted(values, reverse=bool(reverse))


def _dict(guard: Guard, items: tuple[object, ...], named: dict[str, object]) -> dict[Any, object]:
    made: dict[Any, object] = {}
    for source in items[:1]:
        pairs = list(source.items()) if isinstance(source, dict) else guard.listed(source)
        for pair in pairs:
            name, value = guard.listed(pair)
            made[guard.key(name)] = value
    return guard.sized({**made, **named})  # type: ignore[no-any-return]  # a dict


def unique(guard: Guard, items: object) -> tuple[Any, ...]:
    """A set: its members once each, in the order in which they came."""
    return tuple(dict.fromkeys(guard.key(item) for item in guard.listed(items)))


def _called(function: object, *args: object) -> object:
    if not isinstance(function, Thing):
        raise FlowContractError(f"{shown(function)} is not a function")
    return function.call(args, {})


def _is_instance(value: object, kinds: object) -> bool:
    for kind in kinds if isinstance(kinds, tuple) else (kinds,):
        if isinstance(kind, Builtin) and kind.types and isinstance(value, kind.types):
            return True
        if isinstance(kind, Class) and isinstance(value, Instance) and kind in value.cls.order:
            return True
        if isinstance(kind, Hint) and _stands_for(value, kind.name):
            return True
        if isinstance(kind, Builtin) and dict in kind.types and isinstance(value, Thing) and value.kind == "cache":
            return True
    return False


def _stands_for(value: object, hint: str) -> bool:
    """Is it what the upstream hands to a flow under this type?"""
    given = value.kind if isinstance(value, Thing) else ""
    if "ensor" in hint:
        return given in ("loc", "o") or isinstance(tensor_of(value), Value)
    return "Context" in hint and given == "ctx"


def _name(name: object) -> str:
    if not isinstance(name, str) or not name.isidentifier() or name.startswith("__"):
        raise ForbiddenSyntax(f"{shown(name)} is not the name of an attribute")
    return name


def _get(of: object, name: object, *default: object) -> object:
    try:
        return member(of, _name(name))
    except (UnknownOp, FlowContractError):
        if default:
            return default[0]
        raise


def _has(of: object, name: object) -> bool:
    try:
        member(of, _name(name))
    except FlowError:
        return False
    return True


def _set(of: object, name: object, value: object) -> None:
    if not isinstance(of, Thing):
        raise ForbiddenSyntax(f"an attribute of {shown(of)} is assigned")
    of.set_member(_name(name), value)
