"""Tensors as Polys in named axes: transposes, slices, reshapes and joins only rename indices.

An axis is a tuple of variables that are read like digits, the most significant first; an axis of one index has none.
"""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod

from vortex.compiler.identity.facts import tame
from vortex.compiler.identity.labels import closed
from vortex.compiler.identity.sums import substitute
from vortex.compiler.identity.terms import (
    LEADS,
    Book,
    Index,
    NoForm,
    OutOfRange,
    Poly,
    Var,
    compound,
    of_factor,
    plain_index,
    poly_key,
    poly_lead,
)
from vortex.ir import Lead, Type

PART_WORK = 10               # terms' worth of work that one part of a join is

Axis = tuple[Var, ...]


class Unaligned(NoForm):
    """Two ways to cut an axis into digits do not go together."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """`parts`: what it was joined from, and along which axis; empty unless it is a join that is no single value."""

    rows: Axis
    cols: Axis
    body: Poly
    parts: tuple["Tensor", ...] = ()
    joined: int = 0
    cut: "tuple[Tensor, int, int, int] | None" = None     # what it was sliced from: (whole, dim, start, stop)

    def axis(self, dim: int) -> Axis:
        return self.rows if dim == 1 else self.cols

    @property
    def shape(self) -> tuple[int, int]:
        return size_of(self.rows), size_of(self.cols)


def size_of(axis: Axis) -> int:
    return prod(size for _, size in axis)


def with_axis(x: Tensor, dim: int, axis: Axis, body: Poly) -> Tensor:
    return Tensor(axis, x.cols, body) if dim == 1 else Tensor(x.rows, axis, body)


def fresh_axis(book: Book, size: int) -> Axis:
    return (book.fresh(size),) if size > 1 else ()


def _digits(book: Book, a: Axis, b: Axis) -> tuple[Axis, dict[Var, list[Var]]]:
    """The coarsest axis that both cut into, and what each variable becomes. Raises Unaligned."""
    left, right = list(a), list(b)
    out: list[Var] = []
    made: dict[Var, list[Var]] = {var: [] for var in (*a, *b)}
    rest = {var: var[1] for var in (*a, *b)}
    while left and right:
        x, y = left[-1], right[-1]
        size = min(rest[x], rest[y])
        if rest[x] % size or rest[y] % size:
            raise Unaligned
        digit = next((var for var in (x, y) if var[1] == size), None) or book.fresh(size)
        out.insert(0, digit)
        for var, axis in ((x, left), (y, right)):
            made[var].insert(0, digit)
            rest[var] //= size
            if rest[var] == 1:
                axis.pop()
    if left or right:
        raise Unaligned
    return tuple(out), made


def put(book: Book, body: Poly, made: Mapping[Var, Sequence[Var]]) -> Poly:
    mapping: dict[Var, Index] = {var: compound(digits) for var, digits in made.items() if list(digits) != [var]}
    return substitute(book, body, mapping) if mapping else body


def aligned(book: Book, axes: Sequence[Axis]) -> tuple[Axis, dict[Var, list[Var]]]:
    """One axis for all of `axes`, of which some may be of size 1; and what their variables become. Raises Unaligned."""
    wide = [axis for axis in axes if axis]
    common: Axis = wide[0] if wide else ()
    made: dict[Var, list[Var]] = {var: [var] for var in common}
    for axis in wide[1:]:
        if axis == common:
            continue
        common, new = _digits(book, common, axis)
        made = {var: [d for digit in digits for d in new.get(digit, [digit])] for var, digits in made.items()}
        made |= {var: new[var] for var in axis}
    return common, made


def broadcast(book: Book, xs: Sequence[Tensor]) -> tuple[Axis, Axis, list[Poly]]:
    """Common rows and cols, and every body in terms of them. Raises Unaligned."""
    xs = apart(book, xs)
    rows, made_rows = aligned(book, [x.rows for x in xs])
    cols, made_cols = aligned(book, [x.cols for x in xs])
    return rows, cols, [put(book, x.body, {**made_rows, **made_cols}) for x in xs]


def renamed(book: Book, x: Tensor) -> Tensor:
    """`x` with axes of its own, so that it can stand beside itself."""
    new = {var: [book.fresh(var[1])] for var in (*x.rows, *x.cols)}
    return Tensor(tuple(new[v][0] for v in x.rows), tuple(new[v][0] for v in x.cols), put(book, x.body, new))


def apart(book: Book, xs: Sequence[Tensor]) -> list[Tensor]:
    """`xs`, renamed where one variable would stand for two axes."""
    out: list[Tensor] = []
    for x in xs:
        clash = any(_clash(x, before) for before in out)
        out.append(renamed(book, x) if clash else x)
    return out


def _clash(x: Tensor, y: Tensor) -> bool:
    shared = {*x.rows, *x.cols} & {*y.rows, *y.cols}
    return any(x.axis(dim) != y.axis(dim) and shared & {*x.axis(dim), *y.axis(dim)} for dim in (1, 2))


def cut(book: Book, x: Tensor, axis: Axis, tail: int) -> tuple[Axis, Axis, Tensor]:
    """`axis` of `x` in two, the second of size `tail`. Raises Unaligned."""
    head, last = list(axis), list[Var]()
    while size_of(tuple(last)) < tail:
        var = head.pop()
        need = tail // size_of(tuple(last))
        if tail % size_of(tuple(last)) or (var[1] > need and var[1] % need) or (var[1] < need and need % var[1]):
            raise Unaligned
        if var[1] <= need:
            last.insert(0, var)
            continue
        wide, narrow = book.fresh(var[1] // need), book.fresh(need)
        head.append(wide)
        last.insert(0, narrow)
        x = _with_digits(book, x, {var: [wide, narrow]})
    return tuple(head), tuple(last), x


def _with_digits(book: Book, x: Tensor, made: Mapping[Var, Sequence[Var]]) -> Tensor:
    def axis(old: Axis) -> Axis:
        return tuple(d for var in old for d in made.get(var, [var]))
    return Tensor(axis(x.rows), axis(x.cols), put(book, x.body, made))


def reshaped(book: Book, x: Tensor, cols: int) -> Tensor:
    """Raises Unaligned."""
    rows, last, made = cut(book, x, (*x.rows, *x.cols), cols)
    return Tensor(rows, last, made.body)


def sliced(book: Book, x: Tensor, dim: int, start: int, stop: int) -> Tensor:
    """Raises Unaligned where the axis is cut across its digits."""
    return x if stop - start == x.shape[dim - 1] else replace(
        _sliced(book, x, dim, start, stop), cut=(x, dim, start, stop))


def _sliced(book: Book, x: Tensor, dim: int, start: int, stop: int) -> Tensor:
    if x.parts and x.joined == dim:
        return _sliced_join(book, x, dim, start, stop)
    axis, tail = x.axis(dim), 1
    for var in axis[1:]:
        tail *= var[1]
    if stop - start == 1:
        return with_axis(x, dim, (), _at(book, x.body, axis, start))
    if start % tail or stop % tail:
        raise Unaligned
    new = fresh_axis(book, (stop - start) // tail)
    body = substitute(book, x.body, {axis[0]: (start // tail, tuple((var, 1) for var in new))})
    return with_axis(x, dim, (*new, *axis[1:]), body)


def _at(book: Book, body: Poly, axis: Axis, index: int) -> Poly:
    mapping: dict[Var, Index] = {}
    for var in reversed(axis):
        mapping[var] = (index % var[1], ())
        index //= var[1]
    return substitute(book, body, mapping) if mapping else body


def _sliced_join(book: Book, x: Tensor, dim: int, start: int, stop: int) -> Tensor:
    taken, at = [], 0
    for part in x.parts:
        size = part.shape[dim - 1]
        first, last = max(start, at), min(stop, at + size)
        if first < last:
            taken.append(part if last - first == size else sliced(book, part, dim, first - at, last - at))
        at += size
    return joined(book, taken, dim)


def gathered(book: Book, x: Tensor, dim: int, indices: Sequence[int]) -> Tensor:
    """Evenly spaced indices only. Raises Unaligned."""
    axis = x.axis(dim)
    if len(indices) == 1:
        return sliced(book, x, dim, indices[0], indices[0] + 1)
    if list(indices) == list(range(size_of(axis))):
        return x
    steps = {b - a for a, b in pairwise(indices)}
    step = steps.pop()
    if steps or step < 1 or len(axis) != 1:
        raise Unaligned
    new = book.fresh(len(indices))
    return with_axis(x, dim, (new,), substitute(book, x.body, {axis[0]: (indices[0], ((new, step),))}))


def joined(book: Book, xs: Sequence[Tensor], dim: int) -> Tensor:
    """Neighbours that are slices of one value become one again. Raises Unaligned."""
    parts = [part for x in xs for part in (x.parts if x.joined == dim else (x,))]
    book.spend(PART_WORK * len(parts))
    flat = _rejoined(book, parts, dim)
    others, made = aligned(book, [x.axis(3 - dim) for x in flat])
    flat = [with_axis(x, 3 - dim, others, put(book, x.body, made)) for x in flat]
    out = flat[:1]
    for x in flat[1:]:
        whole = _whole(book, out[-1], x, dim)
        if whole is None:
            out.append(x)
        else:
            book.use("neighbouring slices join to the whole")
            out[-1] = whole
    if len(out) == 1:
        return out[0]
    arguments = [argument(x) for x in out]
    total = sum(x.shape[dim - 1] for x in out)
    lead = max((lead for _, lead, _ in arguments), key=LEADS.index)
    axis = fresh_axis(book, total)
    shape = with_axis(Tensor(others, others, {}), dim, axis, {})
    made_tensor = opaque(book, ("cat", dim), arguments, Type(lead, *shape.shape))
    return Tensor(made_tensor.rows, made_tensor.cols, made_tensor.body, tuple(out), dim)


def _rejoined(book: Book, xs: Sequence[Tensor], dim: int) -> list[Tensor]:
    """Neighbours that were cut from one value, as one."""
    out: list[Tensor] = list(xs[:1])
    for x in xs[1:]:
        one, other = out[-1].cut, x.cut
        if one and other and one[:2] == other[:2] and one[1] == dim and one[3] == other[2]:
            book.use("neighbouring slices join to the whole")
            out[-1] = sliced(book, one[0], dim, one[2], other[3])
        else:
            out.append(x)
    return out


def _whole(book: Book, first: Tensor, second: Tensor, dim: int) -> Tensor | None:
    """The value that `first` and `second` are neighbouring slices of along `dim`."""
    one, other = first.axis(dim), second.axis(dim)
    if len(one) > 1 or len(other) > 1:
        return None
    cut_at = size_of(one)
    both = book.fresh(cut_at + size_of(other))
    try:
        if one:
            body = substitute(book, first.body, {one[0]: plain_index(both)})
        elif other:
            body = substitute(book, second.body, {other[0]: (-cut_at, ((both, 1),))})
        else:
            return None
        head = substitute(book, body, {both: plain_index(one[0]) if one else (0, ())})
        tail = substitute(book, body, {both: (cut_at, ((other[0], 1),)) if other else (cut_at, ())})
    except OutOfRange:
        return None
    if head != first.body or tail != second.body:
        return None
    return with_axis(first, dim, (both,), body)


Argument = tuple[object, Lead, bool]       # what a whole tensor is, free of its variables' names; its lead; is it tame?
UNRULY = frozenset({"add", "subtract", "multiply", "divide", "matmul", "kron", "log", "sqrt", "normalize"})


def argument(x: Tensor) -> Argument:
    bodies, params, args, _ = closed([x.body])
    place = {var: (dim, at, var[1]) for dim, axis in ((1, x.rows), (2, x.cols)) for at, var in enumerate(axis)}
    told = []
    for index in args:
        whole = next((dim for dim in (1, 2) if x.axis(dim) and index == compound(x.axis(dim))), None)
        told.append(whole or tuple((place[var], stride) for var, stride in index[1]))
    return (poly_key(bodies[0]), params, tuple(told), x.shape), poly_lead(x.body), tame(x.body)


def opaque(book: Book, what: tuple[object, ...], arguments: Sequence[Argument], type_: Type) -> Tensor:
    """The result of an op that is not looked into."""
    lead = type_.lead if type_.lead is not Lead.LIST else Lead.BLOCK
    rows, cols = fresh_axis(book, type_.rows), fresh_axis(book, type_.cols)
    sizes = tuple(var[1] for var in (*rows, *cols))
    data = (*what, type_.shape, *(key for key, _, _ in arguments))
    template = book.template("op", data, (), sizes, lead, leaf=True)
    template.known["tame"] = what[0] not in UNRULY and all(calm for _, _, calm in arguments)
    return Tensor(rows, cols, of_factor(template, tuple(plain_index(var) for var in (*rows, *cols))))
