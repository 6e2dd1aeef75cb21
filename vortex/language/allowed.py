"""The part of Python that a flow may use, and the rewriting that bounds what it computes."""
import ast
import keyword
from collections.abc import Callable, Iterator

from vortex.errors import FlowContractError, FlowError, ForbiddenSyntax, UnknownOp
from vortex.language.calls import nearest, words
from vortex.language.mend import place_of
from vortex.language.place import Source

MOST_NODES = 20_000
MOST_DEPTH = 100
LARGEST = 1 << 63
EXPORTS = ("ops", "register", "vFlow", "vFlowMLA")
SIZES = ("block_size", "head_dim", "group", "latent_dim", "kv_lora_rank", "qk_rope_head_dim")
TENSOR_WORDS = ("T", "transpose", "shape", "state")

ALLOWED: tuple[type[ast.AST], ...] = (
    ast.Module, ast.ClassDef, ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.Pass, ast.Expr,
    ast.Assign, ast.AugAssign, ast.AnnAssign, ast.For, ast.If, ast.Break, ast.Continue, ast.ImportFrom, ast.alias,
    ast.Name, ast.Load, ast.Store, ast.Attribute, ast.Subscript, ast.Slice, ast.Call, ast.keyword, ast.Constant,
    ast.Tuple, ast.List, ast.Dict, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.JoinedStr,
    ast.FormattedValue, ast.ListComp, ast.GeneratorExp, ast.comprehension, ast.And, ast.Or, ast.Not, ast.USub, ast.UAdd,
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.MatMult, ast.BitOr,
    ast.Gt, ast.GtE, ast.Lt, ast.LtE, ast.Eq, ast.NotEq, ast.Is, ast.IsNot,
)
NAMES_OF_SYNTAX = {
    ast.Import: "import", ast.While: "while", ast.Try: "try", ast.With: "with", ast.Lambda: "lambda",
    ast.Delete: "del", ast.Global: "global", ast.Nonlocal: "nonlocal", ast.Raise: "raise", ast.Assert: "assert",
    ast.AsyncFunctionDef: "async", ast.Await: "await", ast.Yield: "yield", ast.YieldFrom: "yield",
    ast.NamedExpr: ":=", ast.Starred: "*", ast.Set: "a set", ast.SetComp: "a set", ast.DictComp: "a dict comprehension",
    ast.Match: "match", ast.BitAnd: "&", ast.BitXor: "^", ast.LShift: "<<", ast.RShift: ">>",
    ast.Invert: "~", ast.In: "in", ast.NotIn: "not in",
}
HINT = "A flow is assignments, arithmetic, for over range(n) or a tuple, if on numbers, methods and constants."


def check_syntax(tree: ast.Module, source: Source) -> None:
    """Raises ForbiddenSyntax, UnknownOp or FlowContractError at the first thing that a flow may not say."""
    own = _own_names(tree)
    line = 0
    for count, (node, depth) in enumerate(_walk(tree)):
        line = getattr(node, "lineno", line)
        problem: FlowError | None
        if count > MOST_NODES or depth > MOST_DEPTH:
            problem = ForbiddenSyntax("the text is too long or nested too deeply")
        else:
            problem = _problem(node, own)
        if problem is not None:
            source.settle(problem.at(source.where(line)), place_of(node))
            raise problem


def _walk(tree: ast.AST) -> Iterator[tuple[ast.AST, int]]:
    """Nodes in the order of the text, without recursion."""
    waiting = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth
        children = [child for child in ast.iter_child_nodes(node) if not _is_annotation(node, child)]
        waiting.extend((child, depth + 1) for child in reversed(children))


def _is_annotation(parent: ast.AST, child: ast.AST) -> bool:
    return child is getattr(parent, "annotation", None) or child is getattr(parent, "returns", None)


def _own_names(tree: ast.Module) -> set[str]:
    """Methods and constants of the classes in the text: what may follow `self.`"""
    found: set[str] = set()
    for cls in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        for node in cls.body:
            if isinstance(node, ast.FunctionDef):
                found.add(node.name)
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            found.update(t.id for t in targets if isinstance(t, ast.Name))
    return found


def _problem(node: ast.AST, own: set[str]) -> FlowError | None:
    if not isinstance(node, ALLOWED):
        name = NAMES_OF_SYNTAX.get(type(node), type(node).__name__)
        return ForbiddenSyntax(f"{name} is not used in a flow", hint=HINT)
    check = CHECKS.get(type(node))
    return check(node, own) if check is not None else None


def _hidden(name: str | None) -> FlowError | None:
    if name is not None and (name.startswith("_") or keyword.iskeyword(name)):
        return ForbiddenSyntax(f"{name[:40]}: names that begin with an underscore are not used in a flow")
    return None


def _import(node: ast.ImportFrom, own: set[str]) -> FlowError | None:
    wrong = next((alias.name for alias in node.names if alias.name not in EXPORTS or alias.asname), None)
    if node.module == "vortex" and node.level == 0 and wrong is None:
        return None
    return ForbiddenSyntax(f"from {'.' * node.level}{node.module or ''} import {wrong or '...'} is not used in a flow",
                           hint="A flow imports nothing but: from vortex import ops, register, vFlow")


def _attribute(node: ast.Attribute, own: set[str]) -> FlowError | None:
    methods, functions = words(method=True), words(method=False)
    if isinstance(node.ctx, ast.Store):
        return ForbiddenSyntax(f".{node.attr} is assigned: nothing is kept on objects",
                               hint="Use a local name, a constant of the class, or a field of the cache.")
    if node.attr.startswith("_"):
        return _hidden(node.attr)
    if isinstance(node.value, ast.Name) and node.value.id == "ops":
        if node.attr in functions:
            return None
        return UnknownOp(f"there is no ops.{node.attr}", hint=nearest(node.attr, list(functions)))
    if isinstance(node.value, ast.Name) and node.value.id == "self":
        if node.attr in own or node.attr in SIZES:
            return None
        return FlowContractError(f"self.{node.attr} does not exist", hint=nearest(node.attr, [*own, *SIZES]))
    if node.attr in methods or node.attr in TENSOR_WORDS:
        return None
    return UnknownOp(f"a tensor has no .{node.attr}", hint=nearest(node.attr, [*methods, "T", "shape"]))


def _constant(node: ast.Constant, own: set[str]) -> FlowError | None:
    value = node.value
    if value is None or value is Ellipsis or isinstance(value, bool | str | float):
        return None
    if isinstance(value, int) and abs(value) < LARGEST:
        return None
    return ForbiddenSyntax("a constant that is not a number of 64 bits or a text")


def _function(node: ast.FunctionDef, own: set[str]) -> FlowError | None:
    if node.decorator_list:
        return ForbiddenSyntax(f"{node.name[:40]} is decorated", hint="Only the class is: @register(\"name\").")
    return _hidden(node.name)


def _class(node: ast.ClassDef, own: set[str]) -> FlowError | None:
    if node.keywords or any(not isinstance(base, ast.Name) for base in node.bases):
        return ForbiddenSyntax(f"class {node.name[:40]} has unusual bases", hint="Derive from vFlow.")
    for decorator in node.decorator_list:
        named = isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) \
            and decorator.func.id == "register" and decorator.args and not decorator.keywords \
            and all(isinstance(a, ast.Constant) and isinstance(a.value, str) for a in decorator.args)
        if not named:
            return ForbiddenSyntax(f"class {node.name[:40]} is decorated by something else than register",
                                   hint='Write @register("name").')
    return _hidden(node.name)


def _formatted(node: ast.FormattedValue, own: set[str]) -> FlowError | None:
    if node.format_spec is not None or node.conversion != -1:
        return ForbiddenSyntax("a format in an f-string is not used in a flow")
    return None


def _keyword(node: ast.keyword, own: set[str]) -> FlowError | None:
    return ForbiddenSyntax("** is not used in a flow") if node.arg is None else _hidden(node.arg)


def _dict(node: ast.Dict, own: set[str]) -> FlowError | None:
    return ForbiddenSyntax("** is not used in a flow") if None in node.keys else None


def _loop(node: ast.For, own: set[str]) -> FlowError | None:
    return ForbiddenSyntax("for ... else is not used in a flow") if node.orelse else None


def _augmented(node: ast.AugAssign, own: set[str]) -> FlowError | None:
    if isinstance(node.target, ast.Name):
        return None
    return ForbiddenSyntax("only a name is changed by +=, *= and the like", hint="Write it out: x[i] = x[i] + y.")


def _subscript(node: ast.Subscript, own: set[str]) -> FlowError | None:
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if isinstance(node.ctx, ast.Store) and any(isinstance(part, ast.Slice) for part in parts):
        return ForbiddenSyntax("a slice is assigned: nothing is changed in place",
                               hint="Make a new tensor: ops.cat, ops.where.")
    return None


def _arguments(node: ast.arguments, own: set[str]) -> FlowError | None:
    if node.vararg or node.kwarg:
        return ForbiddenSyntax("*args and **kwargs are not used in a flow")
    return None


CHECKS: dict[type[ast.AST], Callable[..., FlowError | None]] = {
    ast.ImportFrom: _import, ast.Attribute: _attribute, ast.Constant: _constant, ast.FunctionDef: _function,
    ast.ClassDef: _class, ast.FormattedValue: _formatted, ast.keyword: _keyword, ast.Dict: _dict, ast.For: _loop,
    ast.arguments: _arguments, ast.Name: lambda node, own: _hidden(node.id),
    ast.arg: lambda node, own: _hidden(node.arg), ast.AugAssign: _augmented, ast.Subscript: _subscript,
}


class Instrument(ast.NodeTransformer):
    """Sends arithmetic, loops, calls, f-strings and self through the guard; drops imports and annotations."""

    def _guarded(self, node: ast.AST, name: str, args: list[ast.expr]) -> ast.Call:
        guard = ast.Attribute(ast.Name("_guard", ast.Load()), name, ast.Load())
        return ast.fix_missing_locations(ast.copy_location(ast.Call(guard, args, []), node))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        return ast.copy_location(ast.Pass(), node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            return self._guarded(node, "own", [node.value, ast.Constant(node.attr)])
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        return self._guarded(node, "binary", [ast.Constant(type(node.op).__name__), node.left, node.right])

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        assert isinstance(node.target, ast.Name)
        left = ast.copy_location(ast.Name(node.target.id, ast.Load()), node)
        value = self.visit(ast.copy_location(ast.BinOp(left, node.op, node.value), node))
        return ast.copy_location(ast.Assign([node.target], value), node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return ast.copy_location(ast.Assign([node.target], self.visit(node.value)), node)

    def visit_For(self, node: ast.For) -> ast.AST:
        self.generic_visit(node)
        node.iter = self._guarded(node.iter, "each", [node.iter])
        return node

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        self.generic_visit(node)
        node.iter = self._guarded(node.iter, "each", [node.iter])
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.returns = None
        for arg in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
            arg.annotation = None
        node.body.insert(0, ast.copy_location(ast.Expr(self._guarded(node.body[0], "step", [])), node.body[0]))
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        parts = [self.visit(part.value) if isinstance(part, ast.FormattedValue) else part for part in node.values]
        return self._guarded(node, "joined", parts)


def instrument(tree: ast.Module) -> ast.Module:
    """The tree with every loop, call and sum counted and bounded. Changes `tree`."""
    Instrument().visit(tree)
    return ast.fix_missing_locations(tree)
