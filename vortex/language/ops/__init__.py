"""The words of the language: `ops.maximum(x, y)`, `ops.topk(score)` and the like, made from their records."""
import importlib.util
import pkgutil
from collections.abc import Callable
from typing import Any

from vortex.errors import UnknownOp
from vortex.language.calls import nearest, words
from vortex.language.symbols import Value, call

# A family of ops is a file of this package: its import enters its ops into the language.
for _family in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_family.name}")

_functions = words(method=False)


def __getattr__(name: str) -> Callable[..., Any]:
    if name.startswith("_") or importlib.util.find_spec(f"{__name__}.{name}") is not None:
        raise AttributeError(name)
    if name not in _functions:
        raise UnknownOp(f"there is no ops.{name}", hint=nearest(name, list(_functions)))

    def function(*args: object, **named: object) -> Value:
        return call(_functions[name], args, named)
    return function
