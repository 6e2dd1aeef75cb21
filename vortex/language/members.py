"""What stands after a dot or within brackets, by the kind of the value before it."""
from collections.abc import Callable, Mapping
from typing import Any

from vortex.errors import BadArgument, FlowContractError, ForbiddenSyntax, UnknownOp
from vortex.language.cache import CacheSide, IndexerSide
from vortex.language.calls import nearest, words
from vortex.language.guard import Guard, whole_of
from vortex.language.ops.shapes import shown
from vortex.language.place import PYTHON_ERRORS
from vortex.language.symbols import Value, call
from vortex.language.things import Builtin, Hint, Thing, tensor_of

SIZES = ("size", "dim", "ndim", "numel")
TENSOR = ("T", "shape", "transpose", "dtype", "device", *SIZES)
Methods = Mapping[str, Callable[..., Any]]


def member(of: object, name: str, guard: Guard | None = None) -> Any:
    """of.name. Raises UnknownOp, or FlowContractError for what self does not have."""
    if name.startswith("__") and name != "__init__":
        raise ForbiddenSyntax(f"{name[:40]}: names that begin with two underscores are not used in a flow")
    if isinstance(of, Thing):
        return of.member(name)
    if isinstance(of, Value):
        return of_tensor(of, name)
    if isinstance(of, CacheSide | IndexerSide):
        if name == "state":
            return Builtin("cache.state", of.state)
        raise UnknownOp(f"cache has no .{name}", hint='Write cache["name"], or cache.state("name", first=0.0).')
    return _of_plain(of, name, guard or Guard())


def of_tensor(of: Value, name: str) -> Any:
    if name in ("T", "shape"):
        return getattr(of, name)
    if name in ("dtype", "device"):
        return Hint(name)
    if name == "ndim":
        return 3
    if name in (*SIZES, "transpose"):
        sizes: Methods = {"transpose": of.transpose, "dim": lambda: 3, "size": lambda dim=None: _size(of, dim),
                          "numel": lambda: of._node.type.rows * of._node.type.cols}
        return Builtin(f"x.{name}", sizes[name])
    methods = words(method=True)
    if name not in methods:
        raise UnknownOp(f"a tensor has no .{name}", hint=nearest(name, [*methods, "T", "shape"]))
    return Builtin(f"x.{name}", lambda *args, **named: call(
        methods[name], (of, *map(tensor_of, args)), {key: tensor_of(value) for key, value in named.items()}))


def _size(of: Value, dim: object) -> Any:
    return of.shape if dim is None else of.shape[whole_of(dim)]


def _of_plain(of: object, name: str, guard: Guard) -> Any:
    kind, methods = _methods(of, guard)
    if name not in methods:
        raise UnknownOp(f"{kind} has no .{name}", hint=nearest(name, list(methods)) if methods else "")
    return Builtin(f".{name}", methods[name])


def _methods(of: Any, guard: Guard) -> tuple[str, Methods]:
    if isinstance(of, str):
        return "a text", {
            "startswith": of.startswith, "endswith": of.endswith, "lower": of.lower, "upper": of.upper, "strip": of.strip,
            "split": lambda *args: guard.sized(of.split(*args)),
            "join": lambda items: guard.text(of.join(map(guard.shown, guard.listed(items))))}
    if isinstance(of, dict):
        return "a dict", {
            "items": lambda: guard.sized(list(of.items())), "keys": lambda: guard.sized(list(of)),
            "values": lambda: guard.sized(list(of.values())), "get": lambda key, default=None: of.get(guard.key(key), default),
            "pop": lambda key, *default: of.pop(guard.key(key), *default), "copy": lambda: guard.sized(dict(of)),
            "setdefault": lambda key, default=None: guard.room(of).setdefault(guard.key(key), default),
            "update": lambda *more, **named: _update(of, guard, more, named)}
    if isinstance(of, list):
        return "a list", {
            "append": lambda item: guard.room(of).append(item), "copy": lambda: guard.sized(list(of)),
            "extend": lambda items: _extend(of, guard, items),
            "insert": lambda at, item: guard.room(of).insert(at, item), "pop": of.pop, "reverse": of.reverse,
            "index": lambda item: _index(of, guard, item), "count": lambda item: _count(of, guard, item)}
    if isinstance(of, tuple):
        return "a tuple", {"index": lambda item: _index(of, guard, item), "count": lambda item: _count(of, guard, item)}
    return shown(of), {}


def _extend(of: list[object], guard: Guard, items: object) -> None:
    more = guard.listed(items)
    guard.sized([*of, *more])
    of.extend(more)


def _update(of: dict[Any, object], guard: Guard, more: tuple[object, ...], named: Mapping[str, object]) -> None:
    for source in [*more, dict(named)]:
        if not isinstance(source, dict):
            raise BadArgument("update takes a dict")
        guard.sized({**of, **source})
        of.update(source)


def _index(of: Any, guard: Guard, sought: object) -> int:
    found = next((at for at, item in enumerate(of) if guard.equal(item, sought)), None)
    if found is None:
        raise BadArgument(f"{shown(sought)} is not in the list")
    return found


def _count(of: Any, guard: Guard, sought: object) -> int:
    return sum(guard.equal(item, sought) for item in of)


def item(of: Any, key: Any, guard: Guard) -> Any:
    """of[key]. Raises BadArgument, FlowContractError."""
    if isinstance(of, Thing):
        return of.item(key)
    if isinstance(of, Value | CacheSide | IndexerSide):
        return of[key]
    if isinstance(of, dict):
        key = guard.key(key)
    elif not isinstance(of, list | tuple | str | range):
        raise BadArgument(f"{shown(of)} is not indexed")
    try:
        found = of[key]
    except PYTHON_ERRORS as error:
        raise FlowContractError(f"{type(error).__name__}: {str(error)[:200]}",
                                hint=f"It has {len(of)}, counted from 0.") from error
    return guard.sized(found) if isinstance(key, slice) else found


def set_item(of: Any, key: Any, value: object, guard: Guard) -> None:
    """of[key] = value."""
    if isinstance(of, Thing):
        of.set_item(key, value)
    elif isinstance(of, CacheSide | IndexerSide | Value):
        of[key] = tensor_of(value)
    elif isinstance(of, dict):
        guard.room(of)[guard.key(key)] = value
    elif isinstance(of, list) and isinstance(key, int):
        try:
            of[key] = value
        except IndexError as error:
            raise FlowContractError(f"IndexError: {error}") from error
    else:
        raise BadArgument(f"{shown(of)} is not changed in place")
