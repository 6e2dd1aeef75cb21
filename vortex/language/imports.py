"""What a flow may import: our words, the upstream's op objects, and names that annotations need."""
import ast
import difflib
from collections.abc import Iterator, Mapping, Sequence

from vortex.errors import Fix, ForbiddenSyntax, UnknownOp
from vortex.language.calls import MOST_LETTERS, nearest
from vortex.language.standard import mathematics
from vortex.language.things import Builtin, Hint, Module

TYPING = ("Any", "Callable", "ClassVar", "Dict", "Final", "FrozenSet", "Generic", "Iterable", "Iterator", "List", "Literal",
          "Mapping", "MutableMapping", "NamedTuple", "Optional", "Protocol", "Sequence", "Set", "Tuple", "Type", "TypeAlias",
          "TypedDict", "Union", "overload", "override", "no_type_check")
DTYPES = ("bfloat16", "float16", "half", "float32", "float", "float64", "double", "float8_e4m3fn", "float8_e5m2", "uint8",
          "int8", "int16", "int32", "int", "int64", "long", "bool")
TORCH = (*DTYPES, "Tensor", "dtype", "Size", "FloatTensor", "IntTensor", "LongTensor")
ABSENT = {"os": "reads environment variables and files", "sys": "reaches the interpreter", "numpy": "computes with data",
          "pathlib": "reads files", "json": "reads files", "safetensors": "reads files"}
LEARNED = "A learned constant is declared: keep it in a safetensors file next to the flow, and write " \
          'ops.param("name.safetensors", "key").'
ALLOWED = "A flow imports from vortex, vortex_torch, torch (for annotations), typing and math."
NAMES_OF_UPSTREAM = ("vortex_torch.flow", "vortex_torch.indexer", "vortex_torch.cache", "vortex_torch.abs",
                     "vortex_torch.utils")
PARTS = {"registry": "flow", "loader": "flow", "base": "flow", "vflow": "flow", "context": "abs"}


def standing() -> dict[str, Module]:
    """The modules that are the same for every flow."""
    hints = {name: Hint(name) for name in TYPING}
    typing = {**hints, "TYPE_CHECKING": False, "cast": Builtin("cast", lambda kind, value: value),
              "TypeVar": Builtin("TypeVar", lambda name, *bounds, **named: Hint("a type"))}
    placed = {"device": Builtin("torch.device", lambda *where: Hint("torch.device"))}       # of Conv1d's taps
    torch = Module("torch", {**{name: Hint(f"torch.{name}") for name in TORCH}, **placed},
                   hint="torch is there for annotations only: compute with q, cache and ops.")
    abstract = Module("abc", {name: Hint(name) for name in ("ABC", "ABCMeta", "abstractmethod")})
    collections = Module("collections.abc", hints)
    return {
        "typing": Module("typing", typing), "typing_extensions": Module("typing_extensions", typing), "torch": torch,
        "math": Module("math", mathematics()), "abc": abstract, "collections.abc": collections,
        "collections": Module("collections", {"abc": collections}),
        "__future__": Module("__future__", {"annotations": Hint("annotations")}),
    }


def imported(node: ast.Import | ast.ImportFrom, modules: Mapping[str, Module]) -> dict[str, object]:
    """The names that an import binds. Raises ForbiddenSyntax for other modules, UnknownOp for other names."""
    if isinstance(node, ast.Import):
        return dict(_whole(alias, modules) for alias in node.names)
    return dict(pair for alias in node.names for pair in _named(_home(node, modules), alias, modules))


def _whole(alias: ast.alias, modules: Mapping[str, Module]) -> tuple[str, object]:
    found = _module(alias.name, modules, f"import {alias.name}", ast.unparse(ast.Import([alias])))
    if alias.asname is not None:
        return alias.asname, found
    root = alias.name.split(".")[0]
    return root, modules[root]


def _home(node: ast.ImportFrom, modules: Mapping[str, Module]) -> Module:
    said = f"from {'.' * node.level}{node.module or ''} import {node.names[0].name}"
    name = node.module or ""
    if node.level:
        name = f"vortex_torch.{name}" if name else "vortex_torch"
        if name not in modules and _upstream(name) is None:
            raise ForbiddenSyntax(f"{said} is not used in a flow", hint=ALLOWED)
    return _module(name, modules, said, ast.unparse(node), node.names)


def _upstream(name: str) -> str | None:
    """The module of the upstream that `name` is, or lies within."""
    parts = name.split(".")
    if parts[0] != "vortex_torch" or len(parts) < 2:
        return None
    part = PARTS.get(parts[1], parts[1])
    if part == "flow" and len(parts) > 2 and parts[2].startswith("algorithms"):
        return "vortex_torch.flow.algorithms"
    home = f"vortex_torch.{part}"
    return home if home in NAMES_OF_UPSTREAM else None


def _instead(name: str, text: str, names: Sequence[ast.alias], modules: Mapping[str, Module]) -> Fix:
    """The import that was meant; of a module that is none of ours, no import."""
    wanted = {alias.name for alias in names}
    likely = ("vortex", *NAMES_OF_UPSTREAM) if name.startswith("vortex") else ()
    home = next((one for one in likely if wanted and all(modules[one].find(word) is not None for word in wanted)), "")
    return Fix(f"from {name} import", f"from {home} import") if home else Fix(text, "")


def _module(name: str, modules: Mapping[str, Module], said: str, text: str, names: Sequence[ast.alias] = ()) -> Module:
    found = modules.get(name) or modules.get(_upstream(name) or "")
    if found is not None:
        return found
    root, fix = name.split(".")[0], _instead(name, text, names, modules)
    if root in ABSENT:
        hint = LEARNED if "files" in ABSENT[root] else ALLOWED
        raise ForbiddenSyntax(f"{said} is not used in a flow: {root} {ABSENT[root]}, and a flow does not", hint=hint, fix=fix)
    if root == "torch":
        raise ForbiddenSyntax(f"{said} is not used in a flow", hint="import torch suffices, for annotations.", fix=fix)
    raise ForbiddenSyntax(f"{said} is not used in a flow", hint=ALLOWED, fix=fix)


def _near(module: Module, name: str, modules: Mapping[str, Module]) -> Fix | None:
    """The module that has the name, or the name that the module has."""
    home = next((one for one in ("vortex", *NAMES_OF_UPSTREAM[:3]) if modules[one].find(name) is not None), "")
    if home and module.name.startswith("vortex"):
        return Fix(f"from {module.name} import {name}", f"from {home} import {name}")
    close = difflib.get_close_matches(name, [one for one in module.names if len(one) <= MOST_LETTERS], n=1, cutoff=0.6)
    return Fix(name, close[0]) if close and len(name) <= MOST_LETTERS else None


def _named(module: Module, alias: ast.alias, modules: Mapping[str, Module]) -> Iterator[tuple[str, object]]:
    if alias.name == "*":
        if module.name not in NAMES_OF_UPSTREAM:
            raise ForbiddenSyntax(f"from {module.name} import * is not used in a flow", hint=ALLOWED)
        yield from module.names.items()
        return
    found = module.find(alias.name)
    if found is None:
        inner = modules.get(f"{module.name}.{alias.name}")
        if inner is not None:
            yield alias.asname or alias.name, inner
            return
        kind = UnknownOp if module.name.startswith("vortex_torch") else ForbiddenSyntax
        raise kind(f"{module.name} has no {alias.name[:40]} for a flow",
                   hint=module.hint or nearest(alias.name, list(module.names)), fix=_near(module, alias.name, modules))
    yield alias.asname or alias.name, found
