"""Reads the nodes of a Graph into normal form, op by op."""
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vortex.compiler.identity import functions as f
from vortex.compiler.identity import reductions as r
from vortex.compiler.identity.layout import (
    Axis,
    Tensor,
    Unaligned,
    aligned,
    apart,
    argument,
    broadcast,
    cut,
    fresh_axis,
    gathered,
    joined,
    opaque,
    put,
    renamed,
    reshaped,
    sliced,
    with_axis,
)
from vortex.compiler.identity.sums import add, function, multiply, negative, scale, shift, sum_over
from vortex.compiler.identity.terms import Book, NoForm, Poly, Var, number, of_factor, plain_index
from vortex.ir import SELECTION, Lead, Node, Type

LARGEST, SMALLEST = 4096.0, 1 / 4096        # numbers that arithmetic may move about: beyond, rounding is felt
LARGEST_RATIO = 1e7
READ: dict[str, Callable[[Book, Node, Sequence[Tensor]], Tensor]] = {}
Reader = Callable[[Book, Node, Sequence[Tensor]], Tensor]


def reads(*ops: str) -> Callable[[Reader], Reader]:
    def enter(reader: Reader) -> Reader:
        READ.update(dict.fromkeys(ops, reader))
        return reader
    return enter


def leaf(book: Book, kind: str, data: tuple[object, ...], type_: Type) -> Tensor:
    rows, cols = fresh_axis(book, type_.rows), fresh_axis(book, type_.cols)
    variables = (*rows, *cols)
    template = book.template(kind, data, (), tuple(var[1] for var in variables), type_.lead, leaf=True)
    return Tensor(rows, cols, of_factor(template, tuple(map(plain_index, variables))))


def read(book: Book, nodes: Sequence[Node], wanted: Sequence[int], named: Mapping[str, Tensor | str]) -> dict[int, Tensor]:
    """The nodes `wanted`, which come with what they are made of. `named`: what summaries hold, and what states are."""
    out: dict[int, Tensor] = {}
    for index in wanted:
        node = nodes[index]
        book.line = node.line
        if node.type != SELECTION:
            out[index] = _node(book, node, [out[a] for a in node.args], named)
    return out


def _node(book: Book, node: Node, args: Sequence[Tensor], named: Mapping[str, Tensor | str]) -> Tensor:
    if node.op in ("field", "state"):
        found = named.get(node.attr("name"), "")
        if isinstance(found, Tensor):
            return renamed(book, found)
        return leaf(book, node.op, (found or node.attr("name"), node.type.shape), node.type)
    book.spend(1 + sum(len(x.body) for x in args))
    try:
        if node.op in READ:
            return _guarded(book, node, args)
    except NoForm:
        pass
    return _unread(book, node, args)


def _unread(book: Book, node: Node, args: Sequence[Tensor]) -> Tensor:
    """An op that is not looked into: its operands, whole."""
    operands = [argument(x) for x in args]
    if node.op in ("add", "multiply", "maximum", "minimum"):
        operands.sort(key=repr)
    return opaque(book, (node.op, node.attrs), operands, node.type)


ARITHMETIC = frozenset({"add", "subtract", "multiply", "divide", "matmul", "kron"})


def _guarded(book: Book, node: Node, args: Sequence[Tensor]) -> Tensor:
    """Arithmetic with numbers so large or small that rounding swallows something stays as it is written."""
    if node.op in ARITHMETIC and any(_immoderate(x.body) for x in args):
        return _raw(book, node, args)
    made = READ[node.op](book, node, args)
    if made.body and not _moderate(made.body):
        return _unread(book, node, args)
    return made


def _immoderate(body: Poly) -> bool:
    return any(factor[0].kind == "number" for m in body for factor in m[1])


def _moderate(body: Poly) -> bool:
    sizes = [abs(c) for c in body.values()]
    least, most = min(sizes), max(sizes)
    return most <= LARGEST_RATIO * min(least, 1.0) and least * LARGEST_RATIO >= max(most, 1.0)


def _raw(book: Book, node: Node, args: Sequence[Tensor]) -> Tensor:
    rows, cols, bodies = broadcast(book, args)
    if node.op in ("matmul", "kron"):
        raise Unaligned
    if node.op in ("add", "multiply"):
        bodies.sort(key=lambda body: not _immoderate(body))
    return Tensor(rows, cols, function(book, "raw", (node.op,), bodies))


# ---- leaves

@reads("input", "random", "mass", "position")
def _leaf(book: Book, node: Node, args: Sequence[Tensor]) -> Tensor:
    return leaf(book, node.op, (), node.type)


@reads("param")
def _param(book: Book, node: Node, args: Sequence[Tensor]) -> Tensor:
    return leaf(book, "param", (node.attr("digest"), node.type.shape), node.type)


@reads("const")
def _const(book: Book, node: Node, args: Sequence[Tensor]) -> Tensor:
    return Tensor((), (), _number(book, node.attr("value")))


def _number(book: Book, value: float) -> Poly:
    if value == 0 or SMALLEST <= abs(value) <= LARGEST:
        return number(value)
    return of_factor(book.template("number", (f"{value:.9g}",), (), (), Lead.CONST, leaf=True), ())


# ---- element by element

UNARY: dict[str, Callable[[Book, Poly], Poly]] = {
    "negate": lambda book, x: negative(x), "abs": f.magnitude, "sign": f.sign, "exp": f.exp, "log": f.log, "sqrt": f.sqrt,
    "relu": f.relu, "sigmoid": f.sigmoid,
    "silu": lambda book, x: multiply(book, x, f.sigmoid(book, x)), "stored": f.stored,
}


@reads(*UNARY)
def _unary(book: Book, node: Node, args: Sequence[Tensor]) -> Tensor:
    x = args[0]
    return Tensor(x.rows, x.cols, UNARY[node.op](book, x.body))


def _divided(book: Book, x: Poly, y: Poly) -> Poly:
    return multiply(book, x, f.reciprocal(book, y))


BINARY: dict[str, Callable[[Book, Poly, Poly], Poly]] = {
    "add": lambda book, x, y: add(x, y), "subtract": lambda book, x, y: add(x, negative(y)), "multiply": multiply,
    "divide": _divided, "maximum": f.maximum, "minimum": f.minimum,
}


@reads(*BINARY)
def _binary(book: Book, node: Node, args: Sequence[Tensor]) -> Tensor:
    rows, cols, (x, y) = broadcast(book, args)
    return Tensor(rows, cols, BINARY[node.op](book, x, y))


@reads("greater", "greater_equal", "less", "less_equal", "equal", "not_equal")
def _relation(book: Book, node: Node, args: Sequence[Tensor]) -> Tensor:
    rows, cols, (x, y) = broadcast(book, args)
    if not (_immoderate(x) or _immoderate(y)):
        return Tensor(rows, cols, f.compare(book, node.op, add(x, negative(y))))
    turned = {"less": "greater", "less_equal": "greater_equal"}
    pair = [y, x] if node.op in turned else [x, y]
    return Tensor(rows, cols, function(book, "raw", (turned.get(node.op, node.op),), pair))


@reads("where")
def _where(book: Book, node: Node, args: Sequence[Tensor]) -> Tensor:
    rows, cols, bodies = broadcast(book, args)
    return Tensor(rows, cols, f.where(book, *bodies))


# ---- layout

@reads("transpose")
def _transpose(book: Book, node: Node, args: Sequence[Tensor]) -> Tensor:
    x = args[0]
    parts = tuple(Tensor(p.cols, p.rows, p.body) for p in x.parts)
    return Tensor(x.cols, x.rows, x.body, parts, 3 - x.joined if x.parts else 0)


@reads("reshape")
def _reshape(book: Book, node: Node, args: Sequence[Tensor]) -> Tensor:
    return reshaped(book, args[0], node.type.cols)


@reads("slice")
def _slice(book: Book, node: Node, args: Sequence[Tensor]) -> Tensor:
    return sliced(book, args[0], node.attr("dim"), node.attr("start"), node.attr("stop"))


@reads("gather")
def _gather(book: Book, node: Node, args: Sequence[Tensor]) -> Tensor:
    return gathered(book, args[0], node.attr("dim"), node.attr("indices"))


@reads("cat")
def _cat(book: Book, node: Node, args: Sequence[Tensor]) -> Tensor:
    return joined(book, apart(book, args), node.attr("dim"))


@reads("mask")
def _mask(book: Book, node: Node, args: Sequence[Tensor]) -> Tensor:
    dim, start, stop = node.attr("dim"), node.attr("start"), node.attr("stop")
    attrs: dict[str, Any] = dict(node.attrs)
    inside, outside = attrs.get("inside", 1.0), attrs.get("outside", 0.0)
    x, size = args[0], node.type.shape[dim - 1]
    if any(_immoderate(_number(book, value)) for value in (inside, outside)):
        raise Unaligned
    if start == stop or stop - start == size:
        return Tensor(x.rows, x.cols, number(outside if start == stop else inside))
    axis = (book.fresh(size),)
    template = book.template("mask", (start, stop), (), (size,), Lead.CONST, leaf=True)
    chosen = of_factor(template, (plain_index(axis[0]),))
    return with_axis(x, dim, axis, shift(scale(chosen, inside - outside), outside))


# ---- products

@reads("matmul")
def _matmul(book: Book, node: Node, args: Sequence[Tensor]) -> Tensor:
    x, y = args[0], args[1]
    if {*x.rows, *x.cols} & {*y.rows, *y.cols}:
        y = renamed(book, y)
    common, made = aligned(book, [x.cols, y.rows])
    bodies = [put(book, z.body, made) for z in (x, y)]
    book.use("a matrix product is a sum of products")
    return Tensor(x.rows, y.cols, sum_over(book, multiply(book, *bodies), common))


@reads("kron")
def _kron(book: Book, node: Node, args: Sequence[Tensor]) -> Tensor:
    x, y = args[0], args[1]
    if {*x.rows, *x.cols} & {*y.rows, *y.cols}:
        y = renamed(book, y)
    dims = node.attr("dim")
    dims = dims if isinstance(dims, tuple) else (dims,)
    made: dict[Var, list[Var]] = {}
    axes = []
    for dim in (1, 2):
        if dim in dims:
            axes.append((*x.axis(dim), *y.axis(dim)))
        else:
            axis, new = aligned(book, [x.axis(dim), y.axis(dim)])
            axes.append(axis)
            made |= new
    bodies = [put(book, z.body, made) for z in (x, y)]
    return Tensor(axes[0], axes[1], multiply(book, *bodies))


# ---- reductions

def _ranged(book: Book, name: str, body: Poly, axis: Axis) -> Poly:
    if name == "mean":
        return scale(sum_over(book, body, axis), 1 / math.prod(size for _, size in axis))
    table = {"sum": sum_over, "max": r.largest, "min": r.smallest, "norm": r.length, "logsumexp": r.log_sum_exp}
    return table[name](book, body, axis)


@reads("mean", "sum", "max", "min", "norm", "logsumexp")
def _reduction(book: Book, node: Node, args: Sequence[Tensor]) -> Tensor:
    attrs: dict[str, Any] = dict(node.attrs)
    x, dim = args[0], attrs["dim"]
    every = attrs.get("every") or x.shape[dim - 1]
    if x.parts and x.joined == dim and every == x.shape[dim - 1] and node.op in ("sum", "max", "min", "mean"):
        return _parts_reduced(book, node.op, x, dim)
    head, tail, x = cut(book, x, x.axis(dim), every) if every > 1 else (x.axis(dim), (), x)
    if node.op == "norm" and not tail:
        return Tensor(x.rows, x.cols, f.magnitude(book, x.body))
    return with_axis(x, dim, head, _ranged(book, node.op, x.body, tail))


def _parts_reduced(book: Book, name: str, x: Tensor, dim: int) -> Tensor:
    """A reduction of joined values is one of their reductions."""
    book.use("a join is reduced part by part")
    inner = "sum" if name == "mean" else name
    bodies = [_ranged(book, inner, part.body, part.axis(dim)) for part in x.parts]
    if inner == "sum":
        made = scale(add(*bodies), 1 / x.shape[dim - 1] if name == "mean" else 1.0)
    else:
        made = (f.maximum if inner == "max" else f.minimum)(book, *bodies)
    other = x.parts[0].axis(3 - dim)
    return Tensor((), other, made) if dim == 1 else Tensor(other, (), made)


OVER_BLOCKS: dict[str, Callable[[Book, Poly], Poly]] = {
    "mean": r.mean_of_blocks, "sum": r.sum_of_blocks, "max": r.largest_block,
    "min": lambda book, x: negative(r.largest_block(book, negative(x))),
    "norm": r.length_of_blocks, "logsumexp": r.log_sum_exp_of_blocks,
}


@reads(*(f"{name}_over_blocks" for name in OVER_BLOCKS))
def _over_blocks(book: Book, node: Node, args: Sequence[Tensor]) -> Tensor:
    x = args[0]
    return Tensor(x.rows, x.cols, OVER_BLOCKS[node.op.removesuffix("_over_blocks")](book, x.body))


@reads("softmax")
def _softmax(book: Book, node: Node, args: Sequence[Tensor]) -> Tensor:
    attrs: dict[str, Any] = dict(node.attrs)
    x, by = args[0], attrs.get("scale", 1.0)
    if not (by == 0 or SMALLEST <= abs(by) <= LARGEST) or _immoderate(x.body):
        raise Unaligned
    return Tensor(x.rows, x.cols, r.softmax(book, x.body, by))


@reads("normalize")
def _normalize(book: Book, node: Node, args: Sequence[Tensor]) -> Tensor:
    x = args[0]
    return Tensor(x.rows, x.cols, r.normalized(book, x.body))


@reads("conv")
def _conv(book: Book, node: Node, args: Sequence[Tensor]) -> Tensor:
    x, taps = args[0], node.attr("taps")
    if any(isinstance(tap, tuple) for tap in taps) or not any(taps):
        raise Unaligned
    return Tensor(x.rows, x.cols, r.convolved(book, x.body, taps))
