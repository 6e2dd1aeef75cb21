"""The part of Python that a flow may use: an allow-list over its syntax tree."""
import ast
import difflib
import keyword
import re
from collections.abc import Callable, Iterator

from vortex.errors import Fix, FlowError, ForbiddenSyntax
from vortex.language.mend import lines_of, place_of, span
from vortex.language.place import Source

MOST_NODES = 20_000
MOST_DEPTH = 100
LARGEST = 1 << 63
FORMAT = re.compile(r"[<>^]?0?\d{0,2}(\.\d{1,2})?[bdefgsx%]?")
DUNDERS = ("__name__", "__all__", "__author__", "__version__")

ALLOWED: tuple[type[ast.AST], ...] = (
    ast.Module, ast.ClassDef, ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.Pass, ast.Expr, ast.Delete,
    ast.Assign, ast.AugAssign, ast.AnnAssign, ast.For, ast.If, ast.Break, ast.Continue, ast.Raise, ast.Assert,
    ast.Import, ast.ImportFrom, ast.alias, ast.Name, ast.Load, ast.Store, ast.Del, ast.Attribute, ast.Subscript, ast.Slice,
    ast.Call, ast.keyword, ast.Starred, ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.BinOp, ast.UnaryOp,
    ast.BoolOp, ast.Compare, ast.IfExp, ast.JoinedStr, ast.FormattedValue, ast.ListComp, ast.GeneratorExp, ast.SetComp,
    ast.DictComp, ast.comprehension, ast.And, ast.Or, ast.Not, ast.USub, ast.UAdd, ast.Invert,
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.MatMult,
    ast.BitOr, ast.BitAnd, ast.BitXor, ast.LShift, ast.RShift,
    ast.Gt, ast.GtE, ast.Lt, ast.LtE, ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn,
)
NAMES_OF_SYNTAX = {
    ast.While: "while", ast.Try: "try", ast.TryStar: "try", ast.With: "with", ast.Lambda: "lambda", ast.Global: "global",
    ast.Nonlocal: "nonlocal", ast.AsyncFunctionDef: "async", ast.AsyncFor: "async", ast.AsyncWith: "async",
    ast.Await: "await", ast.Yield: "yield", ast.YieldFrom: "yield", ast.NamedExpr: ":=", ast.Match: "match",
}
INSTEAD = {
    "while": "Loop with for over range(n); by the numbers of a tensor, choose with ops.where(x > y, a, b).",
    "lambda": "Write a method of the class, or a function with def.",
    "try": "Nothing is caught: what is refused is to be mended.",
    "with": "Leave it out: a flow has no gradients, files or locks.",
    ":=": "Write the assignment on a line of its own.",
}
OTHERWISE = {"async": Fix("async def", "def"), "yield": Fix("yield ", "return ")}
HINT = "A flow is assignments, arithmetic, for over range(n) or a tuple, if on numbers, methods and constants."


def check_syntax(tree: ast.Module, source: Source) -> None:
    """Raises ForbiddenSyntax at the first thing that a flow may not say."""
    line = 0
    for count, (node, depth) in enumerate(_walk(tree)):
        line = getattr(node, "lineno", line)
        if count > MOST_NODES or depth > MOST_DEPTH:
            problem: FlowError | None = ForbiddenSyntax("the text is too long or nested too deeply")
        else:
            problem = _problem(node)
        if problem is not None:
            problem.fix = problem.fix or _body_alone(node, source)
            source.settle(problem.at(source.where(line)), place_of(node))
            raise problem


def _walk(tree: ast.AST) -> Iterator[tuple[ast.AST, int]]:
    """Nodes in the order of the text, without recursion; what annotates is never computed, and is passed over."""
    waiting = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth
        children = [child for child in ast.iter_child_nodes(node) if not _is_annotation(node, child)]
        waiting.extend((child, depth + 1) for child in reversed(children))


def _is_annotation(parent: ast.AST, child: ast.AST) -> bool:
    return child is getattr(parent, "annotation", None) or child is getattr(parent, "returns", None)


def without_script(tree: ast.Module) -> ast.Module:
    """The text as a module: `if __name__ == "__main__":` never runs. Changes `tree`."""
    tree.body = [node for node in tree.body if not (isinstance(node, ast.If) and ast.dump(node.test) == MAIN)]
    return tree


MAIN = ast.dump(ast.parse('__name__ == "__main__"', mode="eval").body)


def _problem(node: ast.AST) -> FlowError | None:
    if not isinstance(node, ALLOWED):
        name = NAMES_OF_SYNTAX.get(type(node), type(node).__name__)
        fix = OTHERWISE.get(name)
        if isinstance(node, ast.Global | ast.Nonlocal):
            fix = Fix(ast.unparse(node), "pass")
        return ForbiddenSyntax(f"{name} is not used in a flow", hint=INSTEAD.get(name, HINT), fix=fix)
    check = CHECKS.get(type(node))
    return check(node) if check is not None else None


def _body_alone(node: ast.AST, source: Source) -> Fix | None:
    """The edit that keeps the body of a `with` or `try` and drops the rest."""
    if not isinstance(node, ast.With | ast.Try) or any(one.optional_vars for one in getattr(node, "items", [])):
        return None
    indent = " " * node.col_offset
    try:
        body = ("\n" + indent).join(line for one in node.body for line in ast.unparse(one).splitlines())
    except RecursionError:
        return None
    return Fix(span(lines_of(source.text), node), body.replace("'", '"'), line=node.lineno)


def _hidden(name: str | None) -> FlowError | None:
    if name is not None and (name.startswith("__") or keyword.iskeyword(name)) and name not in DUNDERS:
        return ForbiddenSyntax(f"{name[:40]}: names that begin with two underscores are not used in a flow")
    return None


def _attribute(node: ast.Attribute) -> FlowError | None:
    return None if node.attr == "__init__" and isinstance(node.ctx, ast.Load) else _hidden(node.attr)


def _constant(node: ast.Constant) -> FlowError | None:
    value = node.value
    if value is None or value is Ellipsis or isinstance(value, bool | str | float):
        return None
    if isinstance(value, int) and abs(value) < LARGEST:
        return None
    return ForbiddenSyntax("a constant that is not a number of 64 bits or a text")


def _function(node: ast.FunctionDef) -> FlowError | None:
    return None if node.name == "__init__" else _hidden(node.name)


def _class(node: ast.ClassDef) -> FlowError | None:
    if node.keywords or any(not isinstance(base, ast.Name | ast.Attribute | ast.Subscript) for base in node.bases):
        return ForbiddenSyntax(f"class {node.name[:40]} has unusual bases", hint="Derive from vFlow.")
    for decorator in node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else None
        name = called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
        if name != "register":
            fix = Fix("@register", f'@register("{called_like(node.name)}")', line=decorator.lineno) \
                if isinstance(decorator, ast.Name) and decorator.id == "register" else _registering(name, decorator.lineno)
            return ForbiddenSyntax(f"class {node.name[:40]} is decorated by something else than register",
                                   hint='Write @register("name").', fix=fix)
    return _hidden(node.name)


def _registering(name: str, line: int) -> Fix | None:
    """A decorator whose name is nearly register."""
    return Fix(f"{name}(", "register(", line=line) if difflib.get_close_matches(name[:100], ["register"], cutoff=0.6) else None


def called_like(name: str) -> str:
    """The name of a flow after that of its class: MeanKey as mean-key."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


def _formatted(node: ast.FormattedValue) -> FlowError | None:
    spec = node.format_spec
    if not isinstance(spec, ast.JoinedStr) or not spec.values:
        return None
    parts = [part.value if isinstance(part, ast.Constant) else None for part in spec.values]
    if len(parts) == 1 and isinstance(parts[0], str) and FORMAT.fullmatch(parts[0]):
        return None
    return ForbiddenSyntax("this format in an f-string is not used in a flow", hint="Such are: {x:.2f}, {n:04d}.")


def _subscript(node: ast.Subscript) -> FlowError | None:
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if isinstance(node.ctx, ast.Store) and any(isinstance(part, ast.Slice) for part in parts):
        return ForbiddenSyntax("a slice is assigned: nothing is changed in place",
                               hint="Make a new tensor: ops.cat, ops.where.")
    return None


def _delete(node: ast.Delete) -> FlowError | None:
    if all(isinstance(target, ast.Name) for target in node.targets):
        return None
    return ForbiddenSyntax("del of something else than a name is not used in a flow")


def _comprehension(node: ast.comprehension) -> FlowError | None:
    return ForbiddenSyntax("async is not used in a flow") if node.is_async else None


CHECKS: dict[type[ast.AST], Callable[..., FlowError | None]] = {
    ast.Attribute: _attribute, ast.Constant: _constant, ast.FunctionDef: _function, ast.ClassDef: _class,
    ast.FormattedValue: _formatted, ast.Subscript: _subscript, ast.Delete: _delete, ast.comprehension: _comprehension,
    ast.keyword: lambda node: _hidden(node.arg), ast.Name: lambda node: _hidden(node.id),
    ast.arg: lambda node: _hidden(node.arg), ast.alias: lambda node: _hidden(node.asname),
}
