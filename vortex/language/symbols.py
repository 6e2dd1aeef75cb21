"""What a flow computes with while it is traced: Values that stand for tensors, and the Tape that ops are written on."""
import sys
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from vortex.errors import BadArgument, Fix, FlowContractError, FlowError, ShapeMismatch, UnknownOp, WrongSide
from vortex.ir import SELECTION, Attr, Geometry, Node, Type
from vortex.language.calls import MOST_NUMBERS, attribute, bind, nearest, number, plain, words
from vortex.language.ops.record import OPS, Op, Side, Word
from vortex.language.ops.shapes import shown
from vortex.language.parameters import Parameters

MOST_NODES = 10_000
SWAPPED = {(1, 2), (2, 1), (-2, -1), (-1, -2), (1, -1), (-1, 1), (2, -2), (-2, 2)}      # the two inner axes
TAPE: ContextVar["Tape"] = ContextVar("tape")


class Lead:
    """Stands where a shape has its lead, and is not a number."""

    def __repr__(self) -> str:
        return "lead"


LEAD = Lead()


class Tape:
    """One side of a flow being written down. `filename` tells the flow's own stack frames."""

    def __init__(self, side: Side, geometry: Geometry, filename: str) -> None:
        self.side = side
        self.geometry = geometry
        self.filename = filename
        self.parameters = Parameters()
        self.nodes: list[Node] = []
        self.leaves: dict[tuple[str, tuple[tuple[str, Attr], ...]], Value] = {}
        self.lines: Callable[[], int] | None = None       # tells the line of a flow that our evaluator runs
        self.spend: Callable[[int], None] = lambda size: None     # told of every op, with the length of its attributes
        self.explain: Callable[[Sequence[int]], str] = lambda args: ""

    def line(self) -> int:
        """The line of the flow that is being run."""
        if self.lines is not None:
            return self.lines()
        frame = sys._getframe(1)
        while frame is not None and frame.f_code.co_filename != self.filename:
            frame = frame.f_back  # type: ignore[assignment]  # None ends the stack
        return frame.f_lineno if frame is not None else 0

    def leaf(self, op: str, type_: Type, **attrs: Attr) -> "Value":
        """A node without operands; the same one for the same attributes."""
        key = (op, tuple(sorted(attrs.items())))
        if key not in self.leaves:
            self.leaves[key] = self.write(Node(op, (), key[1], type_, self.line()))
        return self.leaves[key]

    def write(self, node: Node) -> "Value":
        if len(self.nodes) >= MOST_NODES:
            raise FlowContractError(f"the flow is longer than {MOST_NODES:,} operations")
        self.spend(sum(len(value) for _, value in node.attrs if isinstance(value, tuple)))
        self.nodes.append(node)
        return Value(self, len(self.nodes) - 1)

    def operand(self, op: Op, value: object) -> "Value":
        """A Value of this tape, or a number where the op takes one."""
        if isinstance(value, Value):
            if value._tape is not self:
                raise FlowContractError("a value of forward_cache is used in forward_indexer",
                                        hint='Keep it in a field: cache["name"] = x.')
            return value
        if op.numbers and isinstance(value, int | float):
            return self.leaf("const", OPS["const"].infer((), {"value": number(value)}, self.geometry),
                             value=number(value))
        raise BadArgument(f"{op.usage} takes tensors, not {shown(value)}",
                          hint="Tensors are q, the fields of cache, and what is made of them.")

    def apply(self, op: Op, operands: Sequence[object], attrs: Mapping[str, Attr]) -> "Value":
        """Writes one op down. Raises FlowError."""
        if self.side not in op.sides:
            raise WrongSide(f"{op.usage} is not used in {self.side}",
                            hint=f"It lives in {' and '.join(sorted(op.sides))}.",
                            fix=Fix("dim=0", "dim=1") if op.usage.endswith("(dim=0)") else None)
        values = [self.operand(op, operand) for operand in operands]
        if values and all(v._node.op == "const" for v in values):
            raise BadArgument(f"{op.usage} of numbers alone", hint="Compute it with plain numbers.")
        if op.written_as is not None:
            written: Value = op.written_as(*values, **attrs)
            return written
        types = [v._node.type for v in values]
        if SELECTION in types and op.name != "union":
            raise BadArgument(f"{op.usage} is given a Selection, which is not a tensor",
                              hint="Two selections are united: a | b.")
        try:
            type_ = op.infer(types, attrs, self.geometry)
        except ShapeMismatch as error:
            raise self._explained(error, op, values, attrs) from None
        args = tuple(v._index for v in values)
        return self.write(Node(op.name, args, tuple(sorted(attrs.items())), type_, self.line()))

    def _explained(self, error: ShapeMismatch, op: Op, values: Sequence["Value"],
                   attrs: Mapping[str, Attr]) -> ShapeMismatch:
        texts = [str(v._node.type) for v in values]
        written = plain(op.spelling(texts, attrs))
        told = self.explain([v._index for v in values])
        hint = "\n".join(part for part in (told, error.hint) if part)
        return ShapeMismatch(f"{written}     {error.message}", hint=hint, fix=error.fix)


def tape() -> Tape:
    """The tape of the flow that is being traced. Raises FlowContractError outside of one."""
    found = TAPE.get(None)
    if found is None:
        raise FlowContractError("an op is called outside of forward_cache and forward_indexer",
                                hint="Call it in the body that uses it; ops.param(...) too.")
    return found


def call(ops: Sequence[Op], args: Sequence[object], named: Mapping[str, object]) -> "Value":
    """Calls the one of `ops`, which share a name, that the arguments ask for."""
    op = max((op for op in ops if _asked(op, args, named)), key=lambda op: len(_word(op).given))
    operands, attrs = bind(_word(op), args, named)
    return tape().apply(op, operands, attrs)


def _word(op: Op) -> Word:
    assert op.word is not None
    return op.word


def _asked(op: Op, args: Sequence[object], named: Mapping[str, object]) -> bool:
    """Are the attributes given that tell this op from those that share its name?"""
    word = _word(op)
    said = {**dict(zip([*word.tensors, *(name for name, _ in word.params)], args, strict=False)), **named}
    return all(type(said.get(name)) is type(value) and bool(said[name] == value) for name, value in word.given)


class Value:
    """A tensor of a flow: its shape is known, its numbers are not. The words that are methods are its methods."""

    __slots__ = ("_index", "_tape")

    def __init__(self, tape: Tape, index: int) -> None:
        self._tape = tape
        self._index = index

    @property
    def _node(self) -> Node:
        return self._tape.nodes[self._index]

    @property
    def shape(self) -> tuple[Lead, int, int]:
        """(lead, rows, cols); the lead is not a number and is never used."""
        return LEAD, *self._node.type.shape

    @property
    def T(self) -> "Value":  # noqa: N802  # torch's name
        return self._tape.apply(OPS["transpose"], [self], {})

    def transpose(self, *axes: object) -> "Value":
        """As torch has it too, of axes 1 and 2 in either order and counted from either end."""
        if axes and not (all(isinstance(axis, int) for axis in axes) and axes in SWAPPED):
            raise BadArgument("transpose swaps axes 1 and 2 only", hint="Write x.T.")
        return self.T

    def _apply(self, op: str, *others: object, **attrs: Attr) -> "Value":
        """Writes down `op` of this value and others; for the records of ops, never for flows."""
        return self._tape.apply(OPS[op], [self, *others], attrs)

    def __repr__(self) -> str:
        return str(self._node.type)

    def __getattr__(self, name: str) -> Callable[..., "Value"]:
        if name.startswith("_"):
            raise AttributeError(name)
        methods = words(method=True)
        if name not in methods:
            raise UnknownOp(f"a tensor has no .{name}", hint=nearest(name, [*methods, "T", "shape"]))
        return lambda *args, **named: call(methods[name], (self, *args), named)

    def __bool__(self) -> bool:
        raise FlowError("the value of a tensor is not known while a flow is read: nothing may branch on it",
                        hint="Choose by number instead: ops.where(x > y, a, b).")

    def __iter__(self) -> Any:
        raise FlowError("a tensor cannot be looped over", hint="Loop over range(n) and slice: x[..., i:i + 1].")

    def __getitem__(self, index: object) -> "Value":
        return _indexed(self, index)

    def __setitem__(self, index: object, value: object) -> None:
        raise FlowError("a tensor cannot be changed in place", hint="Make a new one: ops.cat, ops.where.")

    def __neg__(self) -> "Value":
        return self._tape.apply(OPS["negate"], [self], {})

    def __pos__(self) -> "Value":
        return self

    def __pow__(self, other: object) -> "Value":
        raise UnknownOp("there is no ** of tensors", hint="Write x * x, x.sqrt() or (x.log() * p).exp().")

    __hash__ = None  # type: ignore[assignment]  # == makes a tensor


def _infix(name: str, *, reflected: bool = False) -> Callable[[Value, object], Value]:
    def method(self: Value, other: object) -> Value:
        operands = [other, self] if reflected else [self, other]
        return self._tape.apply(OPS[name], operands, {})
    return method


for _symbol, _name in (("add", "add"), ("sub", "subtract"), ("mul", "multiply"), ("truediv", "divide"),
                       ("matmul", "matmul"), ("or", "union")):
    setattr(Value, f"__{_symbol}__", _infix(_name))
    setattr(Value, f"__r{_symbol}__", _infix(_name, reflected=True))
for _symbol, _name in (("gt", "greater"), ("ge", "greater_equal"), ("lt", "less"), ("le", "less_equal"),
                       ("eq", "equal"), ("ne", "not_equal")):
    setattr(Value, f"__{_symbol}__", _infix(_name))


def _indexed(value: Value, index: object) -> Value:
    """Slices and gathers of axes 1 and 2. Raises BadArgument."""
    parts = list(index) if isinstance(index, tuple) else [index]
    inner = parts[1:]
    if parts[0] is Ellipsis and len(inner) == 1:
        inner = [slice(None), *inner]
    elif parts[0] is not Ellipsis and parts[0] != slice(None):
        raise BadArgument("the lead of a tensor is never indexed",
                          hint="There is one row, or one block, at a time: write x[..., a:b] or x[:, a:b].")
    if len(inner) > 2 or any(part is Ellipsis for part in inner):
        raise BadArgument("too many indices", hint="Write x[..., a:b], x[:, a:b] or x[:, a:b, c:d].")
    for dim, part in enumerate(inner, 1):
        value = _along(value, dim, part)
    return value


def _along(value: Value, dim: int, part: object) -> Value:
    size = value._node.type.shape[dim - 1]
    if isinstance(part, slice):
        return _sliced(value, dim, part, size)
    if isinstance(part, list | tuple | range):
        indices = attribute(part, [MOST_NUMBERS], depth=1)
        assert isinstance(indices, tuple)
        wrapped = tuple(i + size if isinstance(i, int) and i < 0 else i for i in indices)
        return value._tape.apply(OPS["gather"], [value], {"dim": dim, "indices": wrapped})
    if isinstance(part, int):
        raise BadArgument("an index would drop an axis", hint=f"Keep it: {part}:{part + 1}, or [{part}].")
    raise BadArgument(f"cannot index with {shown(part)}")


def _sliced(value: Value, dim: int, part: slice, size: int) -> Value:
    ends = [part.start, part.stop, part.step]
    if any(end is not None and (isinstance(end, bool) or not isinstance(end, int)) for end in ends):
        raise BadArgument("the ends of a slice are whole numbers")
    if part.step not in (None, 1):
        raise BadArgument("a slice has no step", hint=f"List the indices: x[..., list(range(0, {size}, {part.step}))].",
                          fix=Fix(f"::{part.step}", f"list(range(0, {size}, {part.step}))"))
    start, stop = part.start or 0, size if part.stop is None else part.stop
    start, stop = start + size if start < 0 else start, stop + size if stop < 0 else stop
    if (start, stop) == (0, size):
        return value
    return value._tape.apply(OPS["slice"], [value], {"dim": dim, "start": start, "stop": stop})
