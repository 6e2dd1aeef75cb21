"""`cache` as the upstream's spelling has it: declared fields that ops read and write; a field that is saved is state."""
import re
from collections.abc import Iterable, Mapping
from typing import Any

from vortex.errors import FieldError, ShapeMismatch
from vortex.ir import Lead, Type
from vortex.language.cache import Shape, per_block, reserved, stored_leaf
from vortex.language.calls import nearest
from vortex.language.members import of_tensor
from vortex.language.ops.record import OPS, Side
from vortex.language.ops.shapes import shown, whole
from vortex.language.symbols import LEAD, Tape, Value
from vortex.language.things import Builtin, Thing

MEANT = re.compile(r"Did you mean (\w+)\?")


class Fields(Thing):
    """One side's `cache`. `written`: summaries, by forward_cache; `fills`: fields that begin at a number; `saved`: state."""

    kind = "cache"

    def __init__(self, tape: Tape, declared: Mapping[str, Shape]) -> None:
        self.tape = tape
        self.declared = declared
        self.written: dict[str, Value] = {}
        self.fills: dict[str, float] = {}
        self.saved: dict[str, Value] = {}

    @property
    def names(self) -> list[str]:
        return [*self.declared, *self.tape.geometry.stored]

    def item(self, key: object) -> "FieldRef":
        if not isinstance(key, str) or key not in self.names:
            near = nearest(str(key)[:40], self.names)
            meant = MEANT.match(near) if len(self.names) > len(self.tape.geometry.stored) or str(key)[:1] in "kv" else None
            raise FieldError(f"create_cache declares no field {shown(key)}",
                             hint=f'Did you mean cache["{meant[1]}"]?' if meant is not None else near)
        return FieldRef(self, key)

    def set_item(self, key: object, value: object) -> None:
        raise FieldError(f"cache[{shown(key)}] is assigned", hint="With loc and ctx, fields are written by ops: "
                                                                  'op(x, cache["name"], loc=loc, ctx=ctx).')

    def holds(self, key: object) -> bool:
        return key in self.names

    def each(self) -> Iterable[object]:
        return self.names

    def member(self, name: str) -> object:
        return {
            "keys": Builtin("cache.keys", lambda: self.names),
            "get": Builtin("cache.get", lambda key, default=None: self.item(key) if self.holds(key) else default),
            "items": Builtin("cache.items", lambda: [(name, self.item(name)) for name in self.names]),
            "values": Builtin("cache.values", lambda: [self.item(name) for name in self.names]),
        }.get(name) or super().member(name)

    def shape(self, name: str) -> Shape:
        geometry = self.tape.geometry
        return self.declared.get(name, (geometry.block_size, geometry.head_dim))

    def read(self, name: str) -> Value:
        if name not in self.declared:
            return stored_leaf(self.tape, name)
        if self.tape.side is Side.INDEXER:
            return self.tape.leaf("field", Type(Lead.BLOCK, *self.declared[name]), name=name)
        if name in self.fills and name not in self.written:
            self.written[name] = self.constant(name)
        if name not in self.written:
            raise FieldError(f'cache["{name}"] is read before it is written',
                             hint="What the pool holds of a block that is not complete is undefined.")
        return self.tape.apply(OPS["stored"], [self.written[name]], {})

    def constant(self, name: str) -> Value:
        """A tensor of the field's shape that holds the number it is filled with."""
        rows, cols = self.declared[name]
        value = stored_leaf(self.tape, self.tape.geometry.stored[0])
        for dim, size in ((1, rows), (2, cols)):
            value = value._apply("gather", dim=dim, indices=(0,) * size)
        return value._apply("mask", start=0, stop=0, dim=1, inside=1.0, outside=self.fills[name])

    def own(self, name: str, side: Side, doing: str) -> None:
        """Raises FieldError for a field that is not written here, or for the second time."""
        if name in reserved(self.tape.geometry):
            raise FieldError(f'cache["{name}"] holds what every block has of itself and is never {doing}',
                             hint="Declare a field of another name.")
        if self.tape.side is not side:
            raise FieldError(f'cache["{name}"] is {doing} in {self.tape.side}',
                             hint=f"That belongs into {side}.")
        if name in self.written or name in self.fills or name in self.saved:
            raise FieldError(f'cache["{name}"] is {doing} twice', hint="Give the second value a field of its own.")

    def fitting(self, name: str, value: Value, doing: str) -> Value:
        """Raises ShapeMismatch where a value is not what the field was declared as."""
        type_ = per_block(name, value, doing)._node.type
        if type_.shape != self.declared[name]:
            raise ShapeMismatch(f'create_cache declares "{name}" as {list(self.declared[name])}, and {type_} is {doing} it',
                                hint=f'Declare "{name}": ({type_.rows}, {type_.cols}).')
        return value


class FieldRef(Thing):
    """cache["name"]: an operand, or where an op puts its result."""

    def __init__(self, fields: Fields, name: str) -> None:
        self._fields = fields
        self.name = name
        self.kind = f'cache["{name}"]'

    def tensor(self) -> Value:
        return self._fields.read(self.name)

    def member(self, name: str) -> Any:
        shape = (LEAD, *self._fields.shape(self.name))
        if name == "shape":
            return shape
        if name == "size":
            return Builtin("size", lambda dim=None: shape if dim is None or not whole(dim) else shape[dim])
        return of_tensor(self.tensor(), name)

    def item(self, key: Any) -> Value:
        return self.tensor()[key]

    def write(self, value: Value) -> "FieldRef":
        """The result of an op of forward_cache."""
        self._fields.own(self.name, Side.CACHE, "written")
        self._fields.written[self.name] = self._fields.fitting(self.name, value, "written into")
        return self

    def fill(self, alpha: float) -> "FieldRef":
        self._fields.own(self.name, Side.CACHE, "filled")
        self._fields.fills[self.name] = alpha
        return self

    def save(self, value: Value) -> "FieldRef":
        self._fields.own(self.name, Side.INDEXER, "saved")
        self._fields.saved[self.name] = self._fields.fitting(self.name, value, "saved as")
        return self
