"""What other libraries call things: the word of ours that a call of torch, NumPy or Python stands for."""
import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vortex.language.calls import plain, words

LIBRARIES = ("torch", "np", "numpy", "F", "nn", "jnp", "jax", "tl", "triton", "math")
NO_DATA = "A flow is read once, before there are numbers: choose by number with ops.where(x > y, a, b)."
RANK = "Every value is [lead, rows, cols] and a reduction keeps its axis: there is nothing to add or drop."
FLOATS = "Everything is computed in single precision: leave it out."
BROADCAST = "Axes of size 1 meet any size by themselves: leave it out."
WITHIN = "Along an axis of a block: (x - x.logsumexp(dim=2)).exp(); over the row's blocks: ops.softmax(x)."
REDUCED = ("mean", "sum", "max", "min", "norm", "logsumexp", "amax", "amin", "softmax", "log_softmax", "var", "std", "avg",
           "average")
SAME_NUMBERS = ("float", "half", "bfloat16", "double", "to", "type", "type_as", "contiguous", "clone", "detach")

# What is left of `{x}.name({0}, {1})`: {x} is the tensor, {0} and {1} are arguments, {all} all of them.
WRITTEN: Mapping[str, str] = {
    "amax": "{x}.max({all})", "amin": "{x}.min({all})", "softmax": "({x} - {x}.logsumexp({all})).exp()",
    "matmul": "{x} @ {0}", "mm": "{x} @ {0}", "bmm": "{x} @ {0}", "mul": "{x} * {0}", "multiply": "{x} * {0}",
    "add": "{x} + {0}", "sub": "{x} - {0}", "subtract": "{x} - {0}", "div": "{x} / {0}", "divide": "{x} / {0}",
    "true_divide": "{x} / {0}", "dot": "({x} * {0}).sum(dim=2)", "square": "{x} * {x}", "rsqrt": "1 / {x}.sqrt()",
    "reciprocal": "1 / {x}", "neg": "-{x}", "negative": "-{x}", "absolute": "{x}.abs()", "log1p": "(1 + {x}).log()",
    "expm1": "{x}.exp() - 1", "tanh": "2 * (2 * {x}).sigmoid() - 1", "masked_fill": "ops.where({0}, {1}, {x})",
    "clamp_min": "ops.maximum({x}, {0})", "clamp_max": "ops.minimum({x}, {0})", "t": "{x}.T", "permute": "{x}.T",
    "swapaxes": "{x}.T", "view": "{x}.reshape({all})", "topk": "ops.topk({x})", "gt": "{x} > {0}", "lt": "{x} < {0}",
    "ge": "{x} >= {0}", "le": "{x} <= {0}", "maximum": "ops.maximum({x}, {0})", "minimum": "ops.minimum({x}, {0})",
    "where": "ops.where({x}, {0}, {1})", "cat": "ops.cat({x}, {all})", "concat": "ops.cat({x}, {all})",
    "var": "(({x} - {x}.mean({all})) * ({x} - {x}.mean({all}))).mean({all})",
    "std": "(({x} - {x}.mean({all})) * ({x} - {x}.mean({all}))).mean({all}).sqrt()",
    "stack": "ops.cat({x}, {all})", "avg": "{x}.mean({all})", "average": "{x}.mean({all})", "union": "{x} | {0}",
    "log_softmax": "{x} - {x}.logsumexp({all})", "flatten": "{x}",
    "select": "ops.topk({x})", "choose": "ops.topk({x})", "pick": "ops.topk({x})", "transpose": "{x}.T",
    "cosine_similarity": "({x} @ {0}.T) / ({x}.norm(dim=2) * {0}.norm(dim=2).T)",
    "zeros_like": "0.0", "ones_like": "1.0", "zeros": "0.0", "ones": "1.0", "kron": "ops.kron({x}, {0})",
    **dict.fromkeys((*SAME_NUMBERS, "unsqueeze", "squeeze", "expand", "expand_as", "repeat", "broadcast_to"), "{x}"),
}
HINTS: Mapping[str, str] = {
    "softmax": WITHIN, "unsqueeze": RANK, "squeeze": RANK, "flatten": "Write x.reshape(rows, cols).",
    "expand": BROADCAST, "expand_as": BROADCAST, "repeat": BROADCAST, "broadcast_to": BROADCAST,
    **dict.fromkeys(("item", "tolist", "numpy", "cpu", "cuda", "data", "any", "all", "nonzero", "bool"), NO_DATA),
    **dict.fromkeys(SAME_NUMBERS, FLOATS),
    "topk": "ops.topk(score) ends the flow: how many blocks it takes belongs to the operating point.",
    "var": "Write (x * x).mean(dim=d) minus the square of x.mean(dim=d).",
    "std": "Write ((x * x).mean(dim=d) minus the square of x.mean(dim=d)).sqrt().",
    "einsum": "Write products with @ and .T: [., a, K] @ [., K, b], and sums with x.sum(dim=...).",
    "argmax": "Write ops.largest(x, 1), or end with ops.topk(score).", "sort": "Write ops.largest(x, r).",
    "argsort": "Write ops.largest(x, r), or end with ops.topk(score).", "stack": "Write ops.cat([x, y], dim=1 or 2).",
    "gather": "Write x.take(index, dim), or x[..., [3, 5]] for indices that are known.",
    "cosine_similarity": "Divide a product by the lengths: x @ y.T / (x.norm(dim=2) * y.norm(dim=2).T).",
    "clamp": "Write ops.maximum(x, least) and ops.minimum(x, most).", "pow": "Write x * x, x.sqrt() or (x.log() * p).exp().",
    "cumsum": "Only ops.conv and the reductions over dim=0 see a block's neighbours.",
    "view": "Write x.reshape(rows, cols); the lead is never written.",
    **dict.fromkeys(("zeros", "ones", "full", "tensor", "zeros_like", "ones_like"),
                    "A number meets any shape by itself: write 0.0, not a tensor of it."),
}
LEFT_OUT = ("keepdim", "keepdims", "dtype", "out", "device", "unbiased", "correction")
ATOMS = (ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.Constant)


@dataclass(frozen=True)
class Native:
    """A call that is not ours: `of` is the library or empty, `name` its word, `new` what to write, where that is known."""

    of: str
    name: str
    new: str
    hint: str


def native(node: ast.expr, libraries: Sequence[str] = LIBRARIES) -> Native | None:
    """What a call or attribute of another library stands for; None if it is not one that is known."""
    function = node.func if isinstance(node, ast.Call) else node
    if not isinstance(function, ast.Attribute):
        return None
    library = _library(function, libraries)
    name = function.attr
    if name in ("inf", "Inf", "infty") and library:
        return Native(library, name, "1e30", "A number in a flow is finite: for what must never be chosen, use -1e30.")
    args = list(node.args) if isinstance(node, ast.Call) else []
    if name == "pow" and isinstance(node, ast.Call) and node.args and ast.unparse(node.args[-1]) == "2":
        name, args = "square", args[:-1]
    if name in ("clamp", "clip") and isinstance(node, ast.Call):
        receiver, ends = (args[0], args[1:]) if library and args else (function.value, args)
        return Native(library, name, _clamped(receiver, ends, node), HINTS["clamp"])
    if name in ("tensor", "as_tensor", "full_like") and library and args and isinstance(args[-1], ast.Constant):
        return Native(library, name, ast.unparse(args[-1]), _hint("tensor"))
    if name == "einsum" and library:
        return Native(library, name, _einsum(args), HINTS["einsum"])
    if library:
        return Native(library, name, _as_word(name, args, node) or _as_method(name, args[:1], args[1:], node), _hint(name))
    if name in WRITTEN or name in HINTS:
        return Native("", name, _as_method(name, [function.value], args, node), _hint(name))
    return None


def _library(function: ast.Attribute, libraries: Sequence[str]) -> str:
    root: ast.expr = function
    while isinstance(root, ast.Attribute):
        root = root.value
    return root.id if isinstance(root, ast.Name) and root.id in libraries else ""


def _hint(name: str) -> str:
    return HINTS.get(name, "")


def _as_word(name: str, args: Sequence[ast.expr], node: ast.expr) -> str:
    """torch.maximum(x, y) as ops.maximum(x, y), torch.exp(x) as x.exp()."""
    if not isinstance(node, ast.Call) or not args or name in WRITTEN or name in HINTS or isinstance(args[0], ast.Constant):
        return ""
    if name in words(method=False):
        return f"ops.{name}({_arguments(name, args, node)})"
    if name in words(method=True):
        return f"{_atom(args[0])}.{name}({_arguments(name, args[1:], node)})"
    return ""


def _as_method(name: str, receiver: Sequence[ast.expr], args: Sequence[ast.expr], node: ast.expr) -> str:
    if not receiver or name not in WRITTEN or not isinstance(node, ast.Call):
        return ""
    everything = _arguments(name, args, node)
    if name in ("softmax", "log_softmax") and everything in ("", "dim=0"):
        return plain(f"ops.softmax({ast.unparse(receiver[0])}){'.log()' if name == 'log_softmax' else ''}")
    if name == "view" and (len(args) != 2 or "-" in everything):
        return ""
    if name == "transpose" and len(args) == 1:
        return ""
    try:
        return plain(WRITTEN[name].format(*map(_atom, args), x=_atom(receiver[0]), all=everything))
    except IndexError:
        return ""


def _clamped(receiver: ast.expr, args: Sequence[ast.expr], node: ast.Call) -> str:
    ends = {**dict(zip(("min", "max"), map(ast.unparse, args), strict=False)),
            **{str(kw.arg): ast.unparse(kw.value) for kw in node.keywords}}
    text = ast.unparse(receiver)
    text = f"ops.maximum({text}, {ends['min']})" if "min" in ends else text
    return plain(f"ops.minimum({text}, {ends['max']})" if "max" in ends else text)


def _einsum(args: Sequence[ast.expr]) -> str:
    """A product of two values over their last axes, or over the last and the second."""
    if len(args) != 3 or not isinstance(args[0], ast.Constant) or not isinstance(args[0].value, str):
        return ""
    found = re.fullmatch(r"(\w)?(\w)(\w),(\w)?(\w)(\w)->(\w)?(\w)(\w)", args[0].value.replace(" ", ""))
    if found is None or (found[2], found[3]) == (found[8], found[9]):
        return ""
    x, y = _atom(args[1]), _atom(args[2])
    forms = {(found[3], found[6], found[2], found[5]): f"{x} @ {y}.T", (found[3], found[5], found[2], found[6]): f"{x} @ {y}"}
    return next((plain(new) for (k, m, a, b), new in forms.items() if k == m and (a, b) == (found[8], found[9])), "")


def _arguments(name: str, args: Sequence[ast.expr], node: ast.Call) -> str:
    """Arguments with axes counted from the front; what keeps or drops an axis is left out."""
    texts = [_axis(arg) if name in REDUCED else ast.unparse(arg) for arg in args]
    texts += [f"{'dim' if kw.arg == 'axis' else kw.arg}={_axis(kw.value) if kw.arg in ('dim', 'axis') else ast.unparse(kw.value)}"
              for kw in node.keywords if kw.arg not in LEFT_OUT]
    if name in REDUCED and len(args) == 1:
        texts[0] = f"dim={texts[0]}"
    return ", ".join(texts)


def _axis(node: ast.expr) -> str:
    return {"-1": "2", "-2": "1"}.get(ast.unparse(node), ast.unparse(node))


def _atom(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if isinstance(node, ATOMS) else f"({text})"
