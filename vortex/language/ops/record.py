"""What an op is: one record, from which the tensor spelling, the checks, both Programs, the docs and the tests come."""
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from vortex.errors import UnknownOp
from vortex.ir import Geometry, Lead, Type
from vortex.language.kernel import Say

if TYPE_CHECKING:
    import torch


REQUIRED: Any = object()


class Side(StrEnum):
    CACHE = "forward_cache"
    INDEXER = "forward_indexer"


class Scope(Protocol):
    """What an op may know of the rows it is evaluated over, beside its arguments. N is the block axis, -3."""

    @property
    def middle(self) -> "torch.Tensor":
        """Bool, [..., N, 1, 1]: the blocks bos .. n-eos of each row, over which ops across blocks range."""

    @property
    def position(self) -> "torch.Tensor":
        """float32, [..., N, 1, 1]: the index of each block within its row."""

    @property
    def noise_key(self) -> "torch.Tensor":
        """int64, broadcastable to [..., N, 1, 1]: differs by request seed, length, layer, kv head and block."""

    @property
    def mass(self) -> "torch.Tensor":
        """float32, [..., N, 1, 1]: exact softmax mass of each block over the row's whole context, group mean."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One row of the op's test table: types of the arguments, attributes, the side."""

    args: tuple[Type, ...]
    attrs: Mapping[str, Any]
    side: Side = Side.INDEXER


@dataclass(frozen=True, kw_only=True)
class Word:
    """How a flow calls an op: `x.mean(dim=1, every=None)` is a method, `ops.maximum(x, y)` a function.

    `tensors` name the operands (`many`: one operand, a list of them); `params` are the attributes with their defaults.
    Ops that share a name are told apart by the attributes in `given`, which their nodes do not carry; nor do they
    carry what is None.
    """

    name: str
    method: bool = False
    tensors: tuple[str, ...] = ("x",)
    many: bool = False
    params: tuple[tuple[str, Any], ...] = ()
    given: tuple[tuple[str, Any], ...] = ()
    floats: tuple[str, ...] = ()                                  # attributes whose whole numbers become floats
    silent: tuple[str, ...] = ()                                  # attributes that a node at their default leaves out

    @property
    def usage(self) -> str:
        """How it is written, for people."""
        operands = [f"[{', '.join(self.tensors)}]"] if self.many else list(self.tensors)
        given = dict(self.given)
        params = [name if default is REQUIRED else f"{name}={default!r}"
                  for name, default in ((name, given.get(name, default)) for name, default in self.params)]
        return self._written(operands, params)

    def spell(self, texts: Sequence[str], attrs: Mapping[str, Any]) -> str:
        """How one use of it is written, from the texts of its operands; attributes at their default are left out."""
        operands = [f"[{', '.join(texts)}]"] if self.many else list(texts)
        values = {**dict(self.given), **attrs}
        params = [f"{name}={values[name]!r}" for name, default in self.params
                  if name in values and (values[name] != default or name in dict(self.given))]
        return self._written(operands, params)

    def _written(self, operands: Sequence[str], params: Sequence[str]) -> str:
        if self.method:
            return f"{operands[0]}.{self.name}({', '.join([*operands[1:], *params])})"
        return f"ops.{self.name}({', '.join([*operands, *params])})"


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """An op object of the public upstream: how it is constructed, and what a call of it means in the words of ours.

    `write(*values, **params)` writes the call down with operators, methods and `value._apply("op", *others, **attrs)`.
    `check(**params)` refuses at construction, with BadArgument.
    """

    name: str
    write: Callable[..., Any]
    sides: frozenset[Side]
    tensors: int = 1
    params: tuple[tuple[str, Any], ...] = ()
    check: Callable[..., None] = lambda **params: None
    means: str = ""                                               # for people: a formula of the operands x, y


def read_and_written(args: Sequence[Type], out: Type) -> int:
    """Bytes in float32 that a kernel of this op alone moves for one block, or for one row where nothing is per block."""
    leads = {t.lead for t in (*args, out)}
    lead = Lead.BLOCK if Lead.BLOCK in leads else out.lead
    return 4 * sum(t.rows * t.cols for t in (*args, out) if t.lead is lead)


def nothing_moved(args: Sequence[Type], out: Type) -> int:
    """Of a leaf, whose reader moves it, and of another view of the same numbers."""
    return 0


@dataclass(frozen=True, kw_only=True)
class Op:
    """A word of the language.

    `infer(types, attrs, geometry)` gives the type of the result or raises a FlowError (ShapeMismatch, BadArgument).
    `evaluate(scope, *args, **attrs)` is the plain reference: args are float32 tensors with axes [..., N, rows, cols],
    N = 1 for what is one per row or constant; leading axes broadcast. It needs no import of torch at the top of a file.
    `spelling` formats how a flow writes it, from argument texts and attributes; operators have no `word`.
    """

    name: str
    meaning: str
    infer: Callable[[Sequence[Type], Mapping[str, Any], Geometry], Type]
    evaluate: Callable[..., "torch.Tensor"]
    spelling: Callable[[Sequence[str], Mapping[str, Any]], str]
    usage: str                                                    # how it is written, for people: x.mean(dim)
    sides: frozenset[Side] = frozenset({Side.CACHE, Side.INDEXER})
    samples: tuple[Sample, ...] = ()
    operations: Callable[[Sequence[Type], Type], int] = lambda args, out: out.rows * out.cols   # per value, for cost
    bytes_moved: Callable[[Sequence[Type], Type], int] = read_and_written
    commutative: bool = False
    across_blocks: bool = False                                   # ranges over the blocks of a row
    kernel: Say | None = None                                     # how it says itself in a kernel; None: it is never a node there
    statistic: str = ""                                           # of an op across blocks: what a launch before it must know
    #                                                               of its operand (compiler/kernels/statistics.py)
    word: Word | None = None
    numbers: bool = False                                         # operands may be plain numbers
    leaf: bool = False                                            # the Program or the tracer supplies its value
    noun: str = ""                                                # what its result is called in written flows
    upstream: tuple[Upstream, ...] = ()
    objects: Mapping[str, str] = field(default_factory=dict)      # further ones of the upstream, which write no node of this
    #                                                               op: how one is called, and what that means
    written_as: Callable[..., Any] | None = None                  # a word for other ops: (*values, **attrs) -> Value;
    #                                                               such an op is never a node

    @property
    def arity(self) -> int | None:
        """How many operands it takes; None: any number from one on."""
        if self.word is not None:
            return None if self.word.many else len(self.word.tensors)
        return len(self.samples[0].args) if self.samples else 0

    @property
    def attr_names(self) -> frozenset[str]:
        """The attributes that a node of it may carry."""
        words = () if self.word is None else {name for name, _ in self.word.params} - {n for n, _ in self.word.given}
        return frozenset({*words, *(name for sample in self.samples for name in sample.attrs)})


OPS: dict[str, Op] = {}


def define(op: Op) -> Op:
    """Enters an op into the language. A name twice is a bug of ours."""
    assert op.name not in OPS, op.name
    OPS[op.name] = op
    return op


def find(name: str) -> Op:
    """Raises UnknownOp."""
    if name not in OPS:
        raise UnknownOp(f"there is no op {name!r}")
    return OPS[name]
