"""Import-only stand-ins for packages that SGLang imports and, on a CPU, never calls: every name resolves, a call raises."""
import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Sequence

DECORATING: set[str] = set()              # packages whose names decorate functions at import: they give them back


class _Symbol(type):
    def __getattr__(cls, name: str) -> object:
        return _resolved(cls, f"{cls.__module__}.{cls.__name__}", name)

    def __call__(cls, *given: object, **named: object) -> object:
        if cls.__module__.split(".")[0] in DECORATING:
            return given[0] if len(given) == 1 and callable(given[0]) else None
        raise NotImplementedError(f"{cls.__module__}.{cls.__name__} stands in for a package that is not installed")


class _Module(types.ModuleType):
    def __getattr__(self, name: str) -> object:
        return _resolved(self, self.__name__, name)


def _resolved(owner: object, module: str, name: str) -> object:
    if name.startswith("__"):
        raise AttributeError(name)
    found = _Symbol(name, (), {"__module__": module})
    setattr(owner, name, found)
    return found


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, package: str) -> None:
        self._prefix = package + "."

    def find_spec(self, name: str, path: Sequence[str] | None = None,
                  target: types.ModuleType | None = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if name.startswith(self._prefix) else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        module.__path__ = []


def stand_in(package: str, version: str = "0.0.0") -> None:
    """Makes the module that is being imported, and all below it, answer to any name."""
    module = sys.modules[package]
    module.__class__ = _Module
    module.__path__ = []
    module.__version__ = version  # type: ignore[attr-defined]
    sys.meta_path.insert(0, _Finder(package))
