"""Where values come from: the query, fields, state, constants, and what a row knows of its blocks."""
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vortex.errors import BadArgument
from vortex.ir import Geometry, Lead, Type
from vortex.language.kernel import supplied
from vortex.language.ops.noise import uniform
from vortex.language.ops.record import Op, Sample, Scope, Side, Word, define, nothing_moved
from vortex.language.ops.shapes import LARGEST_NUMBER, unchanged

if TYPE_CHECKING:
    import torch

    Reading = Callable[[Scope], torch.Tensor]



def _query_type(types: Sequence[Type], attrs: Mapping[str, Any], geometry: Geometry) -> Type:
    if attrs.get("name") != "q":
        raise BadArgument("the only input is q")
    return Type(Lead.ROW, geometry.group, geometry.head_dim)


def _key_type(types: Sequence[Type], attrs: Mapping[str, Any], geometry: Geometry) -> Type:
    """Of k and v, or latent; the type of a summary is that of what was written, which the Graph's fields say."""
    if attrs.get("name") not in geometry.stored:
        raise BadArgument("the type of a field is known from what is written into it")
    return Type(Lead.BLOCK, geometry.block_size, geometry.head_dim)


def _state_type(types: Sequence[Type], attrs: Mapping[str, Any], geometry: Geometry) -> Type:
    raise BadArgument("the type of state is known from what is saved into it")


def _number_type(types: Sequence[Type], attrs: Mapping[str, Any], geometry: Geometry) -> Type:
    value = attrs.get("value")
    if not isinstance(value, float) or not abs(value) <= LARGEST_NUMBER or (not value and math.copysign(1, value) < 0):
        raise BadArgument("a number in a flow is finite in single precision, and zero has no sign",
                          hint="For what must never be chosen, use -1e30.")
    return Type(Lead.CONST, 1, 1)


def _supplied(scope: Scope, *args: object, **attrs: object) -> "torch.Tensor":
    raise AssertionError("the value of this node is supplied, not evaluated")


def _number(scope: Scope, *, value: float) -> "torch.Tensor":
    import torch  # the language loads without it

    return torch.full((1, 1, 1), value)


define(Op(name="input", meaning="The query: one row for each head of the group.", noun="q", usage="q",
          spelling=lambda texts, attrs: str(attrs["name"]), infer=_query_type, evaluate=_supplied, leaf=True,
          samples=(Sample(args=(), attrs={"name": "q"}),), kernel=supplied, sides=frozenset({Side.INDEXER}),
          operations=lambda types, out: 0, bytes_moved=nothing_moved))
define(Op(name="field", meaning="A field of the block: k, v (with latent attention: latent), or a summary.",
          usage='cache["c"]', spelling=lambda texts, attrs: f'cache["{attrs["name"]}"]', infer=_key_type,
          evaluate=_supplied, leaf=True, samples=(Sample(args=(), attrs={"name": "k"}),), noun="field", kernel=supplied,
          operations=lambda types, out: 0, bytes_moved=nothing_moved))
define(Op(name="state", noun="last", usage='cache.state("c", first=0.0)',
          meaning="What the last step saved under this name; on a new block, the number or the summary `first`.",
          spelling=lambda texts, attrs: f'cache.state("{attrs["name"]}")', infer=_state_type, evaluate=_supplied,
          leaf=True, sides=frozenset({Side.INDEXER}), samples=(Sample(args=(), attrs={"name": "c"}),), kernel=supplied,
          operations=lambda types, out: 0, bytes_moved=nothing_moved, objects={
              "Load()(F)": 'cache.state("F")', "Save()(x, F)": 'cache["F"] = x',
              "Fill(alpha=0.0)(F)": 'cache.state("F", first=alpha)'}))
define(Op(name="const", meaning="A number.", noun="number", usage="0.5",
          spelling=lambda texts, attrs: repr(attrs["value"]), infer=_number_type, evaluate=_number, leaf=True, kernel=supplied,
          samples=(Sample(args=(), attrs={"value": 0.5}),), operations=lambda types, out: 0, bytes_moved=nothing_moved))
define(Op(name="stored", meaning="A summary read after it was written: rounded as the field holds it.", noun="stored",
          usage='cache["c"]', spelling=lambda texts, attrs: texts[0], infer=unchanged,
          evaluate=lambda scope, x: x, sides=frozenset({Side.CACHE}),
          kernel=lambda pen, node, i, j: pen.rounded(pen.read(node.args[0], i, j)),
          samples=(Sample(args=(Type(Lead.BLOCK, 1, 8),), attrs={}, side=Side.CACHE),),
          operations=lambda types, out: 0, bytes_moved=nothing_moved))


def _source(name: str, meaning: str, read: "Reading") -> None:
    word = Word(name=name, tensors=())
    define(Op(
        name=name, meaning=meaning, noun=name, usage=word.usage, spelling=word.spell, word=word,
        infer=lambda types, attrs, geometry: Type(Lead.BLOCK, 1, 1), evaluate=read, kernel=supplied,
        sides=frozenset({Side.INDEXER}), samples=(Sample(args=(), attrs={}),),
    ))


_source("position", "The index of the block within its row, from 0.", lambda scope: scope.position)
_source("random", "A draw from [0, 1) for each block, the same wherever the flow runs; "
                  "two uses in a flow are the same draw.", lambda scope: uniform(scope.noise_key))
_source("mass", "The exact attention mass of the block, mean over the group: a control, as dear as dense attention.",
        lambda scope: scope.mass)
