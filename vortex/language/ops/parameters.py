"""Learned constants from a declared parameter file."""
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vortex.errors import BadArgument
from vortex.ir import Attr, Geometry, Lead, Type
from vortex.language.kernel import supplied
from vortex.language.ops.record import OPS, REQUIRED, Op, Sample, Word, define, nothing_moved
from vortex.language.ops.shapes import shown, sized, whole
from vortex.language.symbols import Value, tape

if TYPE_CHECKING:
    import torch

DIGEST = "0123456789abcdef"
DIGITS = 32


def _type(types: Sequence[Type], attrs: Mapping[str, Any], geometry: Geometry) -> Type:
    digest, rows, cols = (attrs.get(name) for name in ("digest", "rows", "cols"))
    if not isinstance(digest, str) or len(digest) != DIGITS or not set(digest) <= set(DIGEST):
        raise BadArgument(f"{shown(digest)} is not the digest of a parameter")
    if not whole(rows) or not whole(cols) or rows < 1 or cols < 1:  # type: ignore[operator]  # whole() says so
        raise BadArgument(f"{shown(rows)} x {shown(cols)} is not the size of a parameter")
    return sized(Lead.CONST, int(rows or 0), int(cols or 0))


def _declared(*, file: str, key: str) -> Value:
    """The node of a parameter, which carries the digest of its numbers. Raises ParameterError."""
    current = tape()
    found = current.parameters.find(file, key)
    attrs: dict[str, Attr] = {"digest": found.digest, "rows": found.shape[-2], "cols": found.shape[-1]}
    return current.leaf("param", OPS["param"].infer((), attrs, current.geometry), **attrs)


def _supplied(scope: object, **attrs: object) -> "torch.Tensor":
    raise AssertionError("a parameter is supplied, not evaluated")


_word = Word(name="param", tensors=(), params=(("file", REQUIRED), ("key", REQUIRED)))
define(Op(
    name="param", meaning="A learned constant: the numbers under `key` of a safetensors file next to the flow's text, "
                          "[rows, cols]; of the layer, and of the kv head, where the file holds one for each.",
    noun="weight", usage=_word.usage, spelling=_word.spell, infer=_type, evaluate=_supplied, leaf=True, kernel=supplied,
    samples=(Sample(args=(), attrs={"digest": "0" * DIGITS, "rows": 2, "cols": 8}),),
    objects={"Parameter(value)": "ops.param(file, key), its numbers kept in that file"},
    operations=lambda types, out: 0, bytes_moved=nothing_moved,
))
define(Op(
    name="declared", meaning="The word of `param`, which finds the file.", usage="", spelling=_word.spell,
    word=_word, infer=_type, evaluate=_supplied, written_as=_declared,
))
