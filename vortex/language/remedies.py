"""What to write in place of an expression that a flow cannot say: rules that read the expression and what stands around it."""
import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from vortex.errors import BadArgument, FieldError, Fix, FlowError, ForbiddenSyntax, UnknownOp, WrongSide
from vortex.language.calls import plain

NOT_DEFINED = re.compile(r"name '(\w+)' is not defined")
NOT_TAKEN = re.compile(r"does not take (\w+)=")
CALLED_IN = re.compile(r"^(\w+) of vortex_torch\.\w+ is called in (forward_\w+)$")
BEFORE = re.compile(r'^cache\["(\w+)"\] is read before it is written$')
OURS = ("ops", "register", "vFlow", "vFlowMLA")
WORDS = {"query": "q", "queries": "q", "Q": "q", "head_dim": "self.head_dim", "block_size": "self.block_size",
         "page_size": "self.block_size", "group": "self.group", "group_size": "self.group", "num_groups": "self.group",
         "num_heads": "self.group", "n_heads": "self.group"}
KEYS = {"k": "k", "v": "v", "latent": "latent", "K": "k", "V": "v", "key": "k", "keys": "k", "value": "v", "values": "v"}
FIRST_OF_TWO = ("values", "indices", "data")        # members of what torch returns, and we return itself


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
    at = min([first.lineno, *(one.lineno for one in getattr(first, "decorator_list", []))])
    old = _head(first)
    return Advice(node, "", f"Import it: {line}.", fix=Fix(old, f"{line}\n{old}", line=at)) if old else None


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


def _indexed(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """q[0], x[:, None], x.max(dim=1)[0]: there is nothing to take out or to add."""
    if not isinstance(node, ast.Subscript) or not isinstance(error, BadArgument):
        return None
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
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


def _untaken(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """An argument by name that is not taken, and is like none that is."""
    found = NOT_TAKEN.search(error.message)
    if found is None or not isinstance(node, ast.Call):
        return None
    kept = [one for one in node.keywords if one.arg != found[1]]
    if len(kept) == len(node.keywords):
        return None
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
    if said == "ops.topk" and error.message.startswith("k="):
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


def _size_of_self(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """self.num_heads and the like."""
    if isinstance(node, ast.Attribute) and error.message.endswith("does not exist") and node.attr in WORDS:
        return Advice(node, WORDS[node.attr], f"Here it is {WORDS[node.attr]}.")
    return None


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


def _no_output(error: FlowError, node: ast.expr, around: Around) -> Advice | None:
    """self.topk(score, ctx=ctx) without o."""
    if ", o," not in error.hint or not isinstance(node, ast.Call) or not isinstance(error, BadArgument):
        return None
    if any(isinstance(arg, ast.Name) and arg.id == "o" for arg in node.args):
        return None
    return Advice(node, text_of(ast.Call(node.func, [*node.args, ast.Name("o")], node.keywords)))


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
    if isinstance(one, ast.Assign) and len(one.targets) == 1 and isinstance(one.targets[0], ast.Name):
        return one.targets[0].id, text_of(one.value)
    if isinstance(one, ast.AugAssign) and isinstance(one.target, ast.Name):
        return one.target.id, text_of(ast.BinOp(ast.Name(one.target.id), one.op, one.value))
    return None


REMEDIES: tuple[Rule, ...] = (
    _not_imported, _meant_name, _of_cache, _indexed, _member, _unpacked, _both_axes, _no_axis, _untaken, _sizes, _every_pair,
    _uncalled, _size_of_selection, _size_of_self, _logical, _of_two, _swapped, _of_selection, _local, _other_side, _no_output,
    _own_name, _state_of_a_summary, _function, _gated,
)
