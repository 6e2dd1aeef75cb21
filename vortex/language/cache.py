"""What a flow sees as `cache` on either side: fields are written when a block completes, state at every step."""
import difflib
import re
from collections.abc import Mapping

from vortex.errors import FieldError, Fix, ShapeMismatch
from vortex.ir import Geometry, Lead, Type
from vortex.language.ops.record import OPS
from vortex.language.ops.shapes import LARGEST_NUMBER, shown
from vortex.language.symbols import Tape, Value

MOST_NAME = 64
LATENT = ("latent", "k", "v", "kv_c", "k_pe")
KEYS = {"K": "k", "key": "k", "keys": "k", "k_cache": "k", "V": "v", "value": "v", "values": "v", "v_cache": "v"}
TAKEN = ("self", "cache", "ops", "q")         # names that stand for something else in a flow's methods
Shape = tuple[int, int]


def checked_name(name: object) -> str:
    if not isinstance(name, str) or not name.isidentifier() or len(name) > MOST_NAME:
        raise FieldError(f"{shown(name)} does not name a field", hint='A field is named like a variable: cache["hi"].',
                         fix=Fix(f'"{name}"', '"' + re.sub(r"\W", "_", name) + '"') if isinstance(name, str) else None)
    return name


def reserved(geometry: Geometry) -> tuple[str, ...]:
    """Names of what every block has of itself, which no field may have."""
    return LATENT if geometry.latent else LATENT[:3]


def per_block(name: str, value: object, doing: str) -> Value:
    """Only a tensor with one value a block can be kept. Raises FieldError, ShapeMismatch."""
    if not isinstance(value, Value):
        raise FieldError(f'cache["{name}"] is {doing} {shown(value)}, which is not a tensor',
                         hint="A field keeps a tensor of one value a block; a number is written where it is used.")
    type_ = value._node.type
    if type_.lead is not Lead.BLOCK:
        raise ShapeMismatch(f'cache["{name}"] is {doing} {type_}, which does not vary from block to block',
                            hint="A field keeps one value a block.", fix=aside(name))
    return value


def aside(name: str, line: int = 0) -> Fix:
    """The edit that keeps a value under a name of its own, and writes no field; on `line`, or where the refusal is."""
    return Fix(f'cache["{name}"] =', f"{name if name.isidentifier() and name not in TAKEN else name + '_'} =", line=line)


class CacheSide:
    """`cache` in forward_cache: k and v are read, summaries are written, each once."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self.written: dict[str, Value] = {}
        self.read: set[str] = set()

    def __getitem__(self, name: object) -> Value:
        name = checked_name(name)
        if name in self._tape.geometry.stored:
            return stored_leaf(self._tape, name)
        if name not in self.written:
            raise FieldError(f'cache["{name}"] is read before it is written',
                             hint=_written_hint(self._tape, name, self.written))
        value = self.written[name]
        self.read.add(name)
        return self._tape.apply(OPS["stored"], [value], {})

    def __setitem__(self, name: object, value: object) -> None:
        name = checked_name(name)
        if name in reserved(self._tape.geometry):
            raise FieldError(f'cache["{name}"] holds the keys or values themselves and is never written',
                             hint="Write to a field of another name.", fix=aside(name))
        if name in self.written:
            raise FieldError(f'cache["{name}"] is written twice', hint="Give the second value a name of its own.",
                             fix=aside(name, self.written[name]._node.line))
        self.written[name] = per_block(name, value, "written with")

    def state(self, name: object, first: object = 0.0) -> Value:
        raise FieldError("state is read in forward_indexer only")


class IndexerSide:
    """`cache` in forward_indexer: k, v, summaries and state are read, state is saved."""

    def __init__(self, tape: Tape, summaries: Mapping[str, Type], shapes: Mapping[str, Shape], guess: Shape) -> None:
        self._tape = tape
        self._summaries = summaries
        self._shapes = shapes
        self._guess = guess
        self.first: dict[str, float | str] = {}
        self.saved: dict[str, Value] = {}

    def __getitem__(self, name: object) -> Value:
        name = checked_name(name)
        if name in self._tape.geometry.stored:
            return stored_leaf(self._tape, name)
        if name in self.saved or name in self.first:
            raise FieldError(f'cache["{name}"] is state, and its value before this step is asked for by another word',
                             hint=f'Write cache.state("{name}", first=0.0).',
                             fix=aside(name, self.saved[name]._node.line) if name in self.saved else None)
        if name not in self._summaries:
            raise FieldError(f'cache["{name}"] is never written', hint=_written_hint(self._tape, name, self._summaries, WAY))
        return self._tape.leaf("field", self._summaries[name], name=name)

    def state(self, name: object, first: object = 0.0) -> Value:
        """The value saved under `name` by the last step; for a block that is new, `first`: a number, or a summary's."""
        name = self._own(name)
        first = self._checked_first(first)
        if self.first.setdefault(name, first) != first:
            raise FieldError(f'the state "{name}" is given two first values, {self.first[name]} and {first}')
        shape = self._summaries[first].shape if isinstance(first, str) else self._shapes.get(name, self._guess)
        return self._tape.leaf("state", Type(Lead.BLOCK, *shape), name=name)

    def _checked_first(self, first: object) -> float | str:
        if isinstance(first, str):
            if first not in self._summaries:
                raise FieldError(f"first={shown(first)} names no summary",
                                 hint=_written_hint(self._tape, first, self._summaries))
            return first
        if not isinstance(first, int | float) or not abs(first) <= LARGEST_NUMBER:
            raise FieldError(f"first={shown(first)} is not a finite number", hint="It may also name a summary.")
        return float(first)

    def __setitem__(self, name: object, value: object) -> None:
        name = self._own(name)
        if name in self.saved:
            raise FieldError(f'cache["{name}"] is written twice', hint="Save a state once a step.")
        kept, first = per_block(name, value, "saved as"), self.first.get(name)
        if isinstance(first, str) and kept._node.type != self._summaries[first]:
            raise ShapeMismatch(f'cache["{name}"] begins at "{first}", {self._summaries[first]}, '
                                f"and is saved as {kept._node.type}", hint="Save a value of the shape it begins with.")
        self.saved[name] = kept

    def _own(self, name: object) -> str:
        name = checked_name(name)
        if name in reserved(self._tape.geometry) or name in self._summaries:
            raise FieldError(f'cache["{name}"] is written when a block completes and cannot be state as well',
                             hint="Give the state a name of its own.", fix=aside(name))
        return name


def stored_leaf(tape: Tape, name: str) -> Value:
    """What every block has of itself: its keys, values or latents."""
    return tape.leaf("field", OPS["field"].infer((), {"name": name}, tape.geometry), name=name)


WAY = 'Write it in forward_cache first: cache["{name}"] = ...; or read what the last step saved: cache.state("{name}").'


def _written_hint(tape: Tape, name: str, written: Mapping[str, object],
                  way: str = 'Write it in forward_cache first: cache["{name}"] = ...') -> str:
    names = [*tape.geometry.stored, *written]
    own = tape.geometry.stored
    meant = "k" if name == "latent" else KEYS.get(name)
    if name in (*KEYS, "k", "v", "kv", "c_kv") and len(own) == 1:
        meant = own[0]              # of a latent flow
    close = [meant] if meant in names else difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f'Did you mean cache["{close[0]}"]?'
    return f"{way.format(name=name)}\nThere are: {', '.join(names)}."
