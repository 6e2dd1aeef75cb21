"""What to change, where the words of a refusal leave it open: told from the expression at fault and what stands around it."""
import ast
import builtins
import re

from vortex.errors import BadArgument, FieldError, FlowContractError, FlowError, ForbiddenSyntax, UnknownOp
from vortex.language.calls import nearest, plain
from vortex.language.foreign import native
from vortex.language.names import NAMES
from vortex.language.remedies import NOT_DEFINED, REMEDIES, Advice, Around, Rule

MEANT = re.compile(r"^Did you mean (.+)\?$", re.MULTILINE)
UNWRITTEN = "is never written"
TENSORS_ONLY = "nothing may branch on it"
ALWAYS_THERE = ("q", "cache", "self", "ops", "range", "len", "min", "max", "int", "float", "abs", "sum", "zip", "enumerate")


def advice(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """The first rule that knows better than `error`; none for an expression too deep or too odd to be written anew."""
    try:
        return next((found for rule in RULES if (found := rule(error, node, around)) is not None), None)
    except (RecursionError, SyntaxError):
        return None


def _of_another_library(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    if not isinstance(error, UnknownOp | FlowContractError | ForbiddenSyntax):
        return None
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ops":
        return _of_ops(_whole(node, around))
    whole = _whole(node, around)
    found = native(whole)
    if found is None or not (found.of or error.message.startswith("a tensor has no")):
        return None
    if not found.of:
        return Advice(whole, found.new, found.hint or ("Our word for it:" if found.new else None))
    hint = found.hint or ("Our word for it:" if found.new else "Compute with q, cache and ops: `vortex ops` lists the words.")
    return Advice(whole, found.new, hint, f"{found.of}.{found.name}: nothing of {found.of} computes in a flow")


def _of_ops(call: ast.expr) -> Advice | None:
    """ops.abs(x), where abs is a method."""
    found = native(call, ("ops",))
    return Advice(call, found.new, found.hint or "It is a method:") if found is not None and found.new else None


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
        new = plain(f"({ast.unparse(call.args[0])}).{name}(dim=1)")
        return Advice(call, new, f"Reduce an axis: x.{name}(dim=1) or x.{name}(dim=2).", message)
    if name == "round":
        hint = "A tensor is not rounded: leave it out, or write x.quantize(...)."
        return Advice(call, ast.unparse(call.args[0]), hint, message)
    if name in ("float", "int", "bool", "len"):
        return Advice(call, "", "Sizes are x.shape[1] and x.shape[2]; else choose by number: ops.where(x > y, a, b).", message)
    return None


def _united(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and "Selection" in error.message:
        return Advice(node, f"{ast.unparse(node.left)} | {ast.unparse(node.right)}")
    return None


def _last_value(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """A state asked for by the word of a field: in the indexer, a name that is saved there."""
    body = next((n for n in around if isinstance(n, ast.FunctionDef) and n.name == "forward_indexer"), None)
    if not isinstance(error, FieldError) or body is None or not isinstance(node, ast.Subscript) or UNWRITTEN not in error.message:
        return None
    saved = [n for n in ast.walk(body) if isinstance(n, ast.Subscript) and isinstance(n.ctx, ast.Store)]
    if not any(ast.dump(n.slice) == ast.dump(node.slice) for n in saved):
        return None
    read = plain(f"cache.state({ast.unparse(node.slice)}, first=0.0)")
    hint = f'What the last step saved is {read}.'
    if around and isinstance(around[0], ast.AugAssign):
        change = ast.unparse(ast.BinOp(ast.Name("LAST"), around[0].op, around[0].value)).replace("LAST", read)
        return Advice(around[0], f"{ast.unparse(node)} = {change}".replace("'", '"'), hint)
    return Advice(node, read, hint)


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
    if hasattr(builtins, node.id):
        return Advice(node, "", f"Of Python's own functions a flow has those that count: {', '.join(ALWAYS_THERE[4:])}.")
    names = {n.id for scope in around for n in ast.walk(scope) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    names |= {arg.arg for scope in around if isinstance(scope, ast.FunctionDef) for arg in scope.args.args}
    names |= {alias.asname or alias.name for scope in around[-1:] for one in ast.iter_child_nodes(scope)
              if isinstance(one, ast.Import | ast.ImportFrom) for alias in one.names}
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


RULES: tuple[Rule, ...] = (
    *NAMES, *REMEDIES, _united, _last_value, _of_another_library, _branching, _builtin_of_a_tensor, _power, _infinite,
    _undefined, _meant,
)
