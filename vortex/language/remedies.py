"""What to write in place of an expression that a flow cannot say: rules that read the expression and what stands around it."""
import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vortex.errors import BadArgument, Fix, FlowError, ForbiddenSyntax, UnknownOp
from vortex.language.calls import plain

NOT_TAKEN = re.compile(r"does not take (\w+)=")
FIRST_OF_TWO = ("values", "indices", "data")        # members of what torch returns, and we return itself
NOT_DEFINED = re.compile(r"name '(\w+)' is not defined")


@dataclass(frozen=True)
class Advice:
    """What replaces `node` in the text (empty: that is not known), and what is said; None or empty: what was said stays.

    `fix` is for an edit elsewhere than of `node` alone.
    """

    node: ast.expr | ast.stmt
    new: str
    hint: str | None = None
    message: str = ""
    fix: Fix | None = None


Around = Sequence[ast.AST]                    # what the expression stands in, innermost first
Rule = Callable[[FlowError, ast.expr, Around], "Advice | None"]


def text_of(node: ast.AST) -> str:
    return ast.unparse(node).replace("'", '"')


def _indexed(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """q[0], x[:, None], x.max(dim=1)[0]: there is nothing to take out or to add."""
    if not isinstance(node, ast.Subscript) or not isinstance(error, BadArgument):
        return None
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if error.message == "an index would drop an axis":
        kept = (ast.Slice, ast.List, ast.Tuple, ast.Starred)
        texts = [text_of(p) if isinstance(p, kept) or (isinstance(p, ast.Constant) and p.value is Ellipsis) else f"[{text_of(p)}]"
                 for p in parts]
        return Advice(node, f"{text_of(node.value)}[{', '.join(texts)}]")
    empty = any(isinstance(part, ast.Constant) and part.value is None for part in parts)
    first = error.message.startswith("the lead") and len(parts) == 1 and isinstance(parts[0], ast.Constant)
    if not (first or (empty and error.message.startswith(("cannot index", "too many", "the lead")))):
        return None
    return Advice(node, text_of(node.value), "Every value is [lead, rows, cols], and a reduction keeps its axis: leave it out.")


def _member(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """x.max(dim=1).values, x.mT."""
    if not error.message.startswith("a tensor has no .") or not isinstance(node, ast.Attribute):
        return None
    if node.attr in FIRST_OF_TWO:
        return Advice(node, text_of(node.value), "What is computed is the value itself: leave it out.")
    return Advice(node, f"{text_of(node.value)}.T", "Write x.T.") if node.attr in ("mT", "H", "mH", "t") else None


def _unpacked(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """score, indices = x.max(dim=1)."""
    at = around[0] if around else None
    if "looped over" not in error.message or not isinstance(at, ast.Assign) or not isinstance(node, ast.Tuple) or not node.elts:
        return None
    return Advice(at, f"{text_of(node.elts[0])} = {text_of(at.value)}", "A reduction gives one value: there are no indices.")


def _both_axes(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """x.sum(dim=(1, 2))."""
    if "is not an inner axis" not in error.message or not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return None
    given = next((one.value for one in node.keywords if one.arg == "dim"), node.args[0] if node.args else None)
    if not isinstance(given, ast.Tuple | ast.List):
        return None
    axes = [{"-1": "2", "-2": "1"}.get(text_of(axis), text_of(axis)) for axis in given.elts]
    reduced = "".join(f".{node.func.attr}(dim={axis})" for axis in axes)
    return Advice(node, f"{text_of(node.func.value)}{reduced}", "One axis at a time:")


def _no_axis(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    if error.message != "dim is missing" or not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) \
            or node.args or node.keywords:
        return None
    return Advice(node, f"{text_of(node.func)}(dim=1)",
                  f"{error.hint} Axis 1 counts rows (tokens of a block, heads of q), axis 2 columns (channels).")


def _parted(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """low, high = x.split(64, dim=2) as slices; x.gather(2, [0, 3]) and x.index_select(2, [0, 3]) as an index."""
    call, at = (*around[:2], None, None)[:2]
    if not error.message.startswith("a tensor has no .") or not isinstance(node, ast.Attribute) or not isinstance(call, ast.Call):
        return None
    given = {**dict(zip(("size", "dim"), call.args, strict=False)), **{str(one.arg): one.value for one in call.keywords}}
    x = text_of(node.value)
    if node.attr in ("gather", "index_select") and len(call.args) == 2 and isinstance(call.args[1], ast.List):
        return Advice(call, f"{x}{_index(text_of(call.args[0]), text_of(call.args[1]))}")
    size, dim = given.get("size"), given.get("dim")
    if node.attr == "split" and isinstance(at, ast.Assign) and isinstance(at.targets[0], ast.Tuple) and dim is not None \
            and isinstance(size, ast.Constant) and isinstance(size.value, int):
        parts = [_index(text_of(dim), f"{i * size.value}:{(i + 1) * size.value}") for i in range(len(at.targets[0].elts))]
        return Advice(call, ", ".join(f"{x}{part}" for part in parts), "Slices are written out:")
    return None


def _index(dim: str, index: str) -> str:
    return f"[..., {index}]" if dim in ("2", "-1") else f"[:, {index}]"


def _untaken(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """An argument by name that is not taken, and is like none that is."""
    found = NOT_TAKEN.search(error.message)
    if found is None or not isinstance(node, ast.Call):
        return None
    kept = [one for one in node.keywords if one.arg != found[1]]
    if len(kept) == len(node.keywords):
        return None
    if found[1] == "bits" and isinstance(node.func, ast.Attribute) and node.func.attr == "quantize":
        bits = next(text_of(one.value) for one in node.keywords if one.arg == "bits")
        return Advice(node, f'{text_of(node.func)}("int{bits}")') if bits in ("4", "8") else None
    return Advice(node, text_of(ast.Call(node.func, node.args, kept)), f"{error.hint} Leave {found[1]}= out.")


def _sizes(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """x.reshape(-1, rows, cols)."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return None
    if "is given 4 arguments" in error.message and node.func.attr == "reshape" and len(node.args) == 3:
        new = text_of(ast.Call(node.func, node.args[1:], []))
        return Advice(node, new, "Write x.reshape(rows, cols); the lead is never written.")
    return None


def _every_pair(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """(q * cache["k"]).sum(dim=2): each row of one with each row of the other is a product."""
    call = around[1] if len(around) > 1 else None
    if "of axis 1 differ" not in error.message or not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Mult) \
            or not isinstance(call, ast.Call) or not ast.unparse(call).endswith(".sum(dim=2)"):
        return None
    new = f"({text_of(node.left)}) @ ({text_of(node.right)}).T"
    return Advice(call, plain(new), "Each row of one with each row of the other:")


def _uncalled(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """ops.position without its parentheses."""
    if "Builtin" not in error.message:
        return None
    called = {id(one.func) for one in ast.walk(node) if isinstance(one, ast.Call)}
    bare = next((one for one in ast.walk(node) if isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name)
                 and one.value.id == "ops" and id(one) not in called), None)
    return Advice(bare, f"{text_of(bare)}()", f"{text_of(bare)} is called.", f"{text_of(bare)} is not called") if bare else None


def _logical(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """(x > 0) & (y > 0), (x > 0) | (y > 0), ~(x > 0): conditions are numbers, 1 and 0."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd) and "of tensors" in error.message:
        return Advice(node, plain(f"({text_of(node.left)}) * ({text_of(node.right)})"), "Conditions are 1 and 0: multiply them.")
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr) and "unites two selections" in error.message:
        return Advice(node, f"ops.maximum({text_of(node.left)}, {text_of(node.right)})", "Of conditions, the larger:")
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
        return Advice(node, plain(f"1.0 - ({text_of(node.operand)})"), "Conditions are 1 and 0: write 1.0 - x.")
    return None


def _of_math(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """math.sqrt(x) of a tensor; max(x), min(x) and sum(x) of one; x.mean(1, True)."""
    if not isinstance(node, ast.Call) or not node.args or not isinstance(error, BadArgument):
        return None
    of_tensor = isinstance(node.func, ast.Attribute) and error.message.startswith("a number is wanted")
    if of_tensor and isinstance(node.func, ast.Attribute) and node.func.attr in ("sqrt", "exp", "log"):
        return Advice(node, plain(f"({text_of(node.args[0])}).{node.func.attr}()"))
    if isinstance(node.func, ast.Attribute) and error.message.startswith("every=") and len(node.args) == 2 \
            and isinstance(node.args[1], ast.Constant) and isinstance(node.args[1].value, bool):
        return Advice(node, text_of(ast.Call(node.func, node.args[:1], node.keywords)), "A reduction keeps its axis.")
    return None


def _of_two(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """ops.max(x, y), where ops.maximum is meant."""
    call = around[0] if around else None
    if not isinstance(error, UnknownOp) or not isinstance(call, ast.Call) or call.func is not node or len(call.args) != 2:
        return None
    if not isinstance(node, ast.Attribute) or node.attr not in ("max", "min") or isinstance(call.args[1], ast.Constant):
        return None
    return Advice(node, f"ops.{node.attr}imum", f"Of two values: ops.{node.attr}imum(x, y).")


def _swapped(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """ops.topk(32, score)."""
    if "must be numbers, not a tensor" not in error.message or not isinstance(node, ast.Call) or len(node.args) != 2 \
            or not isinstance(node.args[0], ast.Constant):
        return None
    return Advice(node, text_of(ast.Call(node.func, node.args[::-1], node.keywords)), "The tensor comes first:")


def _of_selection(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """A selection weighed by a number, or selected from once more."""
    if "is given a Selection" not in error.message:
        return None
    hint = "A selection is the end of a flow: return it as it is."
    if isinstance(node, ast.Call) and len(node.args) >= 1 and error.message.startswith("ops.topk("):
        return Advice(node, text_of(node.args[0]), hint)
    if isinstance(node, ast.BinOp) and isinstance(node.right, ast.Constant):
        return Advice(node, text_of(node.left), hint)
    return None


def _size_of_selection(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """k that is no count, p in per cent, a score that was reduced over the blocks, parts that are not in a list."""
    if not isinstance(node, ast.Call) or not node.args:
        return None
    said = text_of(node.func)
    if said == "ops.topk" and error.message.startswith(("k=", "tolerance=")):
        return Advice(node, f"ops.topk({text_of(node.args[0])})")
    share = next((arg for arg in node.args[1:2] if isinstance(arg, ast.Constant) and isinstance(arg.value, int | float)), None)
    if said == "ops.top_p" and share is not None and 1 < share.value <= 100:  # type: ignore[operator]  # a number
        return Advice(node, f"ops.top_p({text_of(node.args[0])}, {share.value / 100:g})")  # type: ignore[operator]  # a number
    score = node.args[0]
    of_row = "does not vary from block to block" in error.message and text_of(score).endswith("(dim=0)")
    if of_row and isinstance(score, ast.Call) and isinstance(score.func, ast.Attribute):
        return Advice(score, text_of(score.func.value), "A score is one number a block: leave the reduction over dim=0 out.")
    if said == "ops.cat" and not isinstance(score, ast.List | ast.Tuple):
        return Advice(node, text_of(ast.Call(node.func, [ast.List(node.args)], node.keywords)))
    return None


def _no_output(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """self.topk(score, ctx=ctx) without o."""
    if ", o," not in error.hint or not isinstance(node, ast.Call) or not isinstance(error, BadArgument):
        return None
    if any(isinstance(arg, ast.Name) and arg.id == "o" for arg in node.args):
        return None
    return Advice(node, text_of(ast.Call(node.func, [*node.args, ast.Name("o")], node.keywords)))


def _function(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """name = lambda x: ..., as a def of its own; (x := y) as y."""
    if not isinstance(error, ForbiddenSyntax) or not around:
        return None
    at = around[0]
    if isinstance(node, ast.Lambda) and isinstance(at, ast.Assign) and isinstance(at.targets[0], ast.Name):
        indent = " " * at.col_offset
        new = f"def {at.targets[0].id}({text_of(node.args)}):\n{indent}    return {text_of(node.body)}"
        return Advice(at, new, error.hint)
    if isinstance(node, ast.NamedExpr):
        return Advice(node, text_of(node.value), error.hint)
    return None


def _gated(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """if x > 0: y = ..., as a choice by number."""
    at = around[0] if around else None
    if "nothing may branch on it" not in error.message or not isinstance(at, ast.If) or at.test is not node:
        return None
    then, other = _assigned(at.body), _assigned(at.orelse)
    if then is None or (at.orelse and other is None) or (other is not None and other[0] != then[0]):
        return None
    name, value = then
    return Advice(at, f"{name} = ops.where({text_of(node)}, {value}, {other[1] if other else name})")


def _assigned(body: Sequence[ast.stmt]) -> tuple[str, str] | None:
    """The one name that a branch gives a value, and the value."""
    if len(body) != 1:
        return None
    one = body[0]
    if isinstance(one, ast.If):
        then, other = _assigned(one.body), _assigned(one.orelse)
        if then is None or (one.orelse and (other is None or other[0] != then[0])):
            return None
        return then[0], f"ops.where({text_of(one.test)}, {then[1]}, {other[1] if other else then[0]})"
    if isinstance(one, ast.Assign) and len(one.targets) == 1 and isinstance(one.targets[0], ast.Name):
        return one.targets[0].id, text_of(one.value)
    if isinstance(one, ast.AugAssign) and isinstance(one.target, ast.Name):
        return one.target.id, text_of(ast.BinOp(ast.Name(one.target.id), one.op, one.value))
    return None


REMEDIES: tuple[Rule, ...] = (
    _of_math, _indexed, _member, _unpacked, _both_axes, _no_axis, _parted, _untaken, _sizes, _every_pair, _uncalled,
    _size_of_selection, _logical, _of_two, _swapped, _of_selection, _no_output, _function, _gated,
)
