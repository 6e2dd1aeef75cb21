"""What to change, where the words of a refusal leave it open: told from the expression at fault and what stands around it."""
import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vortex.errors import BadArgument, FlowContractError, FlowError, ForbiddenSyntax, UnknownOp
from vortex.language.calls import nearest, plain
from vortex.language.foreign import native

MEANT = re.compile(r"^Did you mean (.+)\?$", re.MULTILINE)
NOT_DEFINED = re.compile(r"name '(\w+)' is not defined")
TENSORS_ONLY = "nothing may branch on it"
ALWAYS_THERE = ("q", "cache", "self", "ops", "range", "len", "min", "max", "int", "float", "abs", "sum", "zip", "enumerate")


@dataclass(frozen=True)
class Advice:
    """What replaces `node` in the text (empty: that is not known), and what is said; None or empty: what was said stays."""

    node: ast.expr
    new: str
    hint: str | None = None
    message: str = ""


Around = Sequence[ast.AST]                    # what the expression stands in, innermost first
Rule = Callable[[FlowError, ast.expr, Around], "Advice | None"]


def advice(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """The first rule that knows better than `error`."""
    return next((found for rule in RULES if (found := rule(error, node, around)) is not None), None)


def _of_another_library(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    if not isinstance(error, UnknownOp | FlowContractError | ForbiddenSyntax):
        return None
    whole = _whole(node, around)
    found = native(whole)
    if found is None or not (found.of or isinstance(error, UnknownOp)):
        return None
    if not found.of:
        return Advice(whole, found.new, found.hint or ("Our word for it:" if found.new else None))
    hint = found.hint or ("Our word for it:" if found.new else "Compute with q, cache and ops: `vortex ops` lists the words.")
    return Advice(whole, found.new, hint, f"{found.of}.{found.name}: nothing of {found.of} computes in a flow")


def _whole(node: ast.expr, around: Around) -> ast.expr:
    """The call that `node` is the function of, through attributes."""
    for above in around:
        if isinstance(node, ast.Call) or not (isinstance(above, ast.Attribute) or _calls(above, node)):
            break
        assert isinstance(above, ast.expr)
        node = above
    return node


def _calls(call: ast.AST, function: ast.expr) -> bool:
    return isinstance(call, ast.Call) and call.func is function


def _branching(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """and, or, not, chains of comparisons, choices, max() and min() of tensors."""
    if TENSORS_ONLY not in error.message:
        return None
    for above in [node, *around]:
        if isinstance(above, ast.BoolOp | ast.Compare | ast.UnaryOp | ast.IfExp | ast.Call):
            new = _by_number(above)
            if new:
                return Advice(above, plain(new))
        elif isinstance(above, ast.stmt):
            return None
    return None


def _by_number(node: ast.expr) -> str:
    if isinstance(node, ast.BoolOp):
        texts = [f"({ast.unparse(value)})" for value in node.values]
        if isinstance(node.op, ast.And):
            return " * ".join(texts)
        return f"ops.maximum({', '.join(texts)})" if len(texts) == 2 else ""
    if isinstance(node, ast.Compare) and len(node.ops) > 1:
        pairs = zip([node.left, *node.comparators], node.ops, node.comparators, strict=False)
        return " * ".join(f"({ast.unparse(ast.Compare(left, [op], [right]))})" for left, op, right in pairs)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return f"1.0 - ({ast.unparse(node.operand)})"
    if isinstance(node, ast.IfExp):
        return f"ops.where({ast.unparse(node.test)}, {ast.unparse(node.body)}, {ast.unparse(node.orelse)})"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("max", "min") and len(node.args) == 2:
        return f"ops.{node.func.id}imum({', '.join(map(ast.unparse, node.args))})"
    return ""


def _builtin_of_a_tensor(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """abs(x), max(x), sum(x), float(x) and the like, where x is a tensor."""
    call = next((n for n in [node, *around[:1]] if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)), None)
    if call is None or len(call.args) != 1 or "tensor" not in error.message + error.hint or not isinstance(call.func, ast.Name):
        return None
    name = call.func.id
    message = f"{name}() is of numbers, and this is a tensor"
    if name == "abs":
        return Advice(call, plain(f"({ast.unparse(call.args[0])}).abs()"), "Our word for it:", message)
    if name in ("max", "min", "sum"):
        return Advice(call, "", f"Reduce an axis: x.{name}(dim=1) or x.{name}(dim=2).", message)
    if name in ("float", "int", "bool", "len", "round"):
        return Advice(call, "", "Sizes are x.shape[1] and x.shape[2]; else choose by number: ops.where(x > y, a, b).", message)
    return None


def _power(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Pow) or not isinstance(error, UnknownOp | BadArgument):
        return None
    x, power = ast.unparse(node.left), ast.unparse(node.right)
    written = {"2": f"({x}) * ({x})", "3": f"({x}) * ({x}) * ({x})", "0.5": f"({x}).sqrt()", "-1": f"1 / ({x})"}
    return Advice(node, plain(written[power])) if power in written else None


def _infinite(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """float("inf") where a number is wanted."""
    for part in ast.walk(node):
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id == "float" \
                and part.args and isinstance(part.args[0], ast.Constant) and "inf" in str(part.args[0].value).lower():
            sign = "-" if str(part.args[0].value).startswith("-") else ""
            return Advice(part, f"{sign}1e30", "For what must never be chosen, write -1e30.")
    return None


def _undefined(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    found = NOT_DEFINED.search(error.message)
    if found is None or not isinstance(node, ast.Name):
        return None
    names = {n.id for scope in around for n in ast.walk(scope) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    names |= {arg.arg for scope in around if isinstance(scope, ast.FunctionDef) for arg in scope.args.args}
    hint = nearest(node.id, sorted((names | {*ALWAYS_THERE}) - {node.id}))
    meant = MEANT.search(hint)
    return Advice(node, meant[1] if meant else "", hint)


def _meant(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """The hint names what was meant."""
    meant = MEANT.search(error.hint)
    if meant is None:
        return None
    if isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, ast.Attribute):
        return Advice(node, plain(f"({ast.unparse(node.value)}).{meant[1].split('.')[-1]}"))
    if isinstance(node, ast.Name) or meant[1].startswith("cache["):
        return Advice(node, meant[1])
    return None


RULES: tuple[Rule, ...] = (_of_another_library, _branching, _builtin_of_a_tensor, _power, _infinite, _undefined, _meant)
