"""What was meant by a name that a flow does not have: a word that is not imported, a field, a size, an op object."""
import ast
import re
from collections.abc import Iterator, Sequence

from vortex.errors import FieldError, Fix, FlowError, ForbiddenSyntax, WrongSide
from vortex.language.remedies import NOT_DEFINED, Advice, Around, Rule, text_of

CALLED_IN = re.compile(r"^(\w+) of vortex_torch\.\w+ is called in (forward_\w+)$")
BEFORE = re.compile(r'^cache\["(\w+)"\] is (?:read before it is|never) written$')
OURS = ("ops", "register", "vFlow", "vFlowMLA")
WORDS = {"query": "q", "queries": "q", "Q": "q", "head_dim": "self.head_dim", "block_size": "self.block_size",
         "page_size": "self.block_size", "group": "self.group", "group_size": "self.group", "num_groups": "self.group",
         "num_heads": "self.group", "n_heads": "self.group"}
KEYS = {"k": "k", "v": "v", "latent": "latent", "K": "k", "V": "v", "key": "k", "keys": "k", "value": "v", "values": "v"}


def _not_imported_math(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    if not NOT_DEFINED.search(error.message) or not isinstance(node, ast.Name) or node.id != "math" or not around:
        return None
    first = next((one for one in getattr(around[-1], "body", []) if not _stands_first(one)), None)
    old = _head(first) if first is not None else ""
    if first is None or not old:
        return None
    return Advice(node, "", "Import it: import math.", fix=Fix(old, f"import math\n{old}", line=_line(first)))


def _line(node: ast.stmt) -> int:
    """Where a statement begins, with its decorators."""
    decorators: Sequence[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(one.lineno for one in decorators)])


def _not_imported(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """ops, register or vFlow without an import: the line that imports all of them that the text uses."""
    if not NOT_DEFINED.search(error.message) or not isinstance(node, ast.Name) or node.id not in OURS or not around:
        return None
    module = around[-1]
    if not isinstance(module, ast.Module):
        return None
    used = {name.id for name in ast.walk(module) if isinstance(name, ast.Name)}
    given = {alias.asname or alias.name for one in ast.walk(module) if isinstance(one, ast.ImportFrom | ast.Import)
             for alias in one.names}
    line = f"from vortex import {', '.join(name for name in OURS if name in used - given)}"
    first = next((one for one in module.body if not _stands_first(one)), None)
    if first is None:
        return None
    old = _head(first)
    return Advice(node, "", f"Import it: {line}.", fix=Fix(old, f"{line}\n{old}", line=_line(first))) if old else None


def _stands_first(node: ast.stmt) -> bool:
    """Docstrings and imports from __future__ come before everything else."""
    return isinstance(node, ast.Expr) or (isinstance(node, ast.ImportFrom) and node.module == "__future__")


def _head(node: ast.stmt) -> str:
    """How the line begins on which a statement of a module does."""
    if isinstance(node, ast.ClassDef) and node.decorator_list:
        return "@"
    return {ast.ImportFrom: "from ", ast.Import: "import ", ast.ClassDef: f"class {getattr(node, 'name', '')}",
            ast.FunctionDef: "def "}.get(type(node), "")


def _meant_name(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """Names that are known under another word: a size, the query, keys, a constant of the class."""
    if not NOT_DEFINED.search(error.message) or not isinstance(node, ast.Name):
        return None
    body = next((n for n in around if isinstance(n, ast.FunctionDef)), None)
    cls = next((n for n in around if isinstance(n, ast.ClassDef)), None)
    if body is None or cls is None:
        return None
    own = {n.id for one in cls.body if isinstance(one, ast.Assign) for n in one.targets if isinstance(n, ast.Name)}
    taken = [arg.arg for arg in body.args.args]
    new = f"self.{node.id}" if node.id in own else WORDS.get(node.id, "")
    if not new and node.id in KEYS and "cache" in taken:
        new = f'cache["{KEYS[node.id]}"]'
    return Advice(node, new, f"Here it is {new}.") if new and (new != "q" or "q" in taken) else None


def _of_cache(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """cache.k, cache.get("c"), cache.stat("s")."""
    if not error.message.startswith("cache has no .") or not isinstance(node, ast.Attribute):
        return None
    call = around[0] if around and isinstance(around[0], ast.Call) and around[0].func is node else None
    if call is None:
        return Advice(node, f'cache["{node.attr}"]')
    if node.attr in ("get", "read", "load", "field") and call.args:
        return Advice(call, f"cache[{text_of(call.args[0])}]")
    return Advice(node, "cache.state") if node.attr.startswith("st") or node.attr in ("last", "prev", "previous") else None


def _size_of_self(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """self.num_heads and the like; self.q and self.cache, which are arguments; self.c, where a field is kept."""
    body = next((n for n in around if isinstance(n, ast.FunctionDef)), None)
    if isinstance(node, ast.Attribute) and error.message.endswith("does not exist") and body is not None:
        written = {text_of(n) for n in ast.walk(around[-1]) if isinstance(n, ast.Subscript) and isinstance(n.ctx, ast.Store)}
        if node.attr in [arg.arg for arg in body.args.args]:
            return Advice(node, node.attr, f"{node.attr} is an argument.")
        if f'cache["{node.attr}"]' in written:
            return Advice(node, f'cache["{node.attr}"]')
    if isinstance(node, ast.Attribute) and error.message.endswith("does not exist") and node.attr in WORDS:
        return Advice(node, WORDS[node.attr], f"Here it is {WORDS[node.attr]}.")
    return None


def _kept_on_self(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """A value that forward_cache keeps on self, and forward_indexer reads: it is a field."""
    if not error.message.startswith("a value of forward_cache is used") or not around:
        return None
    read = {text_of(n) for n in ast.walk(node) if isinstance(n, ast.Attribute) and text_of(n.value) == "self"}
    made = next((n for n in ast.walk(around[-1]) if isinstance(n, ast.Assign) and text_of(n.targets[0]) in read), None)
    if made is None:
        return None
    old = text_of(made.targets[0])
    return Advice(node, "", fix=Fix(f"{old} =", f'cache["{old[5:]}"] =', line=made.lineno))


def _local(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """A field read before it is written, where a name of the same word holds its value."""
    found = BEFORE.match(error.message)
    body = next((n for n in around if isinstance(n, ast.FunctionDef)), None)
    if found is None or body is None or not isinstance(node, ast.Subscript) or not isinstance(error, FieldError):
        return None
    names = {n.id for one in body.body if one.lineno < node.lineno for n in ast.walk(one)
             if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    if found[1] not in names:
        return None
    at = around[0]
    if isinstance(at, ast.AugAssign):
        change = text_of(ast.BinOp(ast.Name(found[1]), at.op, at.value))
        return Advice(at, f"{text_of(node)} = {change}", f"Its value so far is {found[1]}.")
    return Advice(node, found[1], f"Its value so far is {found[1]}.")


def _other_side(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """An op object of the other package, where the flow has one of the right package as well."""
    found = CALLED_IN.match(error.message)
    if found is None or not isinstance(error, WrongSide) or not around or not isinstance(node, ast.Call):
        return None
    package = "vortex_torch.cache" if found[2] == "forward_cache" else "vortex_torch.indexer"
    names = {alias.asname or alias.name for one in ast.walk(around[-1]) if isinstance(one, ast.ImportFrom)
             and one.module == package for alias in one.names if alias.name == found[1]}
    made = next((target for target, call in made_of(around[-1]) if call in names), "")
    return Advice(node.func, made, f"{error.hint} This flow has {made}.") if made else None


def made_of(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(self.name, class) of the op objects that a text makes."""
    for one in ast.walk(tree):
        if not isinstance(one, ast.Assign) or len(one.targets) != 1:
            continue
        target, value = one.targets[0], one.value
        pairs = zip(target.elts, value.elts, strict=False) if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) \
            else [(target, value)]
        for name, made in pairs:
            if isinstance(name, ast.Attribute) and isinstance(made, ast.Call) and isinstance(made.func, ast.Name):
                yield text_of(name), made.func.id


def _own_name(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """self.__class__.__name__."""
    cls = next((n for n in around if isinstance(n, ast.ClassDef)), None)
    at = around[0] if around else None
    if not isinstance(error, ForbiddenSyntax) or cls is None or not isinstance(at, ast.Attribute) or at.attr != "__name__":
        return None
    return Advice(at, f'"{cls.name}"', "The name of a class is written out.")


def _state_of_a_summary(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    if error.message != "state is read in forward_indexer only":
        return None
    return Advice(node, "0.0", "A block that is complete has no last step: a summary is computed from the block alone.")


NAMES: tuple[Rule, ...] = (
    _not_imported, _not_imported_math, _kept_on_self, _meant_name, _of_cache, _size_of_self, _local, _other_side, _own_name,
    _state_of_a_summary,
)
