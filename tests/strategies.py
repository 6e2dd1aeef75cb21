"""Hypothesis strategies that several rooms share: random legal Graphs, made op by op from the records."""
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from vortex.errors import FlowError
from vortex.ir import SELECTION, Field, FieldKind, Geometry, Graph, Lead, Node, Type
from vortex.language.ops.record import OPS, Op, Side

GEOMETRIES = st.builds(Geometry, block_size=st.sampled_from([2, 4, 8]), head_dim=st.sampled_from([4, 6]),
                       group=st.sampled_from([1, 2, 3]))
NUMBERS = st.floats(-4, 4, width=16).map(lambda x: x + 0.0)
MOST_NUMBERS = 512
APART = {"input", "field", "state", "const", "stored", "everything", "topk"}
Draw = Callable[[st.SearchStrategy[Any]], Any]

ATTRIBUTES: dict[str, Callable[[Draw, Sequence[Type]], Any]] = {
    "dim": lambda draw, types: draw(st.sampled_from([1, 2])),
    "every": lambda draw, types: draw(st.sampled_from([None, None, 2, 3])),
    "start": lambda draw, types: draw(st.integers(0, 3)),
    "stop": lambda draw, types: draw(st.integers(1, 6)),
    "indices": lambda draw, types: tuple(draw(st.lists(st.integers(0, 3), min_size=1, max_size=4))),
    "rows": lambda draw, types: draw(st.sampled_from([1, 2, types[0].cols])),
    "cols": lambda draw, types: draw(st.sampled_from([1, types[0].rows, types[0].rows * types[0].cols])),
    "scale": lambda draw, types: draw(NUMBERS),
    "taps": lambda draw, types: tuple(draw(st.lists(NUMBERS, min_size=1, max_size=3))),
}


class Program:
    """One side of a Graph while it is being drawn."""

    def __init__(self, draw: Draw, side: Side, geometry: Geometry) -> None:
        self.draw = draw
        self.side = side
        self.geometry = geometry
        self.nodes: list[Node] = []

    def add(self, op: str, args: Sequence[int], attrs: dict[str, Any], type_: Type | None = None) -> int:
        """Raises FlowError where the op does not take these operands."""
        made = type_ or OPS[op].infer([self.nodes[a].type for a in args], attrs, self.geometry)
        if made.rows * made.cols > MOST_NUMBERS:
            raise FlowError("too large for a test")
        self.nodes.append(Node(op, tuple(args), tuple(sorted(attrs.items())), made))
        return len(self.nodes) - 1

    def tensors(self, lead: Lead | None = None) -> list[int]:
        return [i for i, n in enumerate(self.nodes) if n.op != "const" and n.type.lead in ({lead} if lead else Lead)]

    def any_op(self) -> None:
        """One more value, if the op drawn takes the operands drawn."""
        draw = self.draw
        op = OPS[draw(st.sampled_from(sorted(n for n, o in OPS.items() if self.side in o.sides and n not in APART)))]
        arity = op.arity if op.arity is not None else draw(st.integers(1, 3))
        args = [draw(st.sampled_from(self.tensors())) for _ in range(arity)]
        types = [self.nodes[a].type for a in args]
        names = sorted(op.attr_names)
        if op.name == "kron":
            attrs = {"dim": draw(st.sampled_from([1, 2, (1, 2)]))}
        else:
            attrs = {name: ATTRIBUTES[name](draw, types) for name in names}
        try:
            self.add(op.name, self._with_number(op, args), {n: v for n, v in attrs.items() if v is not None})
        except FlowError:
            return

    def _with_number(self, op: Op, args: list[int]) -> list[int]:
        """Sometimes an operand that is a number, where the op takes one."""
        if op.numbers and len(args) > 1 and self.draw(st.booleans()):
            number = self.add("const", [], {"value": self.draw(NUMBERS)})
            return [*args[:-1], number]
        return args

    def one_number(self, index: int) -> int:
        """`index` reduced to one number a block."""
        for dim in (1, 2):
            if self.nodes[index].type.shape[dim - 1] > 1:
                index = self.add(self.draw(st.sampled_from(["mean", "max", "sum"])), [index], {"dim": dim})
        return index


def _cache(draw: Draw, geometry: Geometry) -> tuple[Program, dict[str, int]]:
    cache = Program(draw, Side.CACHE, geometry)
    for name in ("k", "v"):
        cache.add("field", [], {"name": name})
    writes: dict[str, int] = {}
    for _ in range(draw(st.integers(1, 6))):
        cache.any_op()
        if draw(st.booleans()):
            writes[f"f{len(writes)}"] = draw(st.sampled_from(cache.tensors()))
            if draw(st.booleans()):
                cache.add("stored", [writes[f"f{len(writes) - 1}"]], {})
    return cache, writes


def _indexer(draw: Draw, geometry: Geometry, fields: list[Field]) -> Program:
    indexer = Program(draw, Side.INDEXER, geometry)
    indexer.add("input", [], {"name": "q"})
    indexer.add("field", [], {"name": "k"})
    for f in fields:
        kind = "state" if f.kind is FieldKind.STATE else "field"
        indexer.add(kind, [], {"name": f.name}, Type(Lead.BLOCK, f.rows, f.cols))
    for _ in range(draw(st.integers(0, 8))):
        indexer.any_op()
    return indexer


@st.composite
def graphs(draw: Draw, states: bool = True) -> Graph:
    """Legal Graphs of a few ops, with summaries and, if wanted, state."""
    geometry = draw(GEOMETRIES)
    cache, writes = _cache(draw, geometry)
    fields = [Field(name, *cache.nodes[node].type.shape) for name, node in writes.items()]
    if states and draw(st.booleans()):
        rows, cols = draw(st.sampled_from([(1, 1), (geometry.group, 1), (1, geometry.head_dim)]))
        fields.append(Field("s", rows, cols, FieldKind.STATE, draw(NUMBERS)))
    indexer = _indexer(draw, geometry, fields)
    saves = []
    for f in fields:
        if f.kind is FieldKind.STATE:
            fitting = [i for i in indexer.tensors(Lead.BLOCK) if indexer.nodes[i].type.shape == (f.rows, f.cols)]
            saves.append((f.name, draw(st.sampled_from(fitting))))
    score = indexer.one_number(draw(st.sampled_from(indexer.tensors(Lead.BLOCK)[-3:])))
    selection = indexer.add("topk", [score], {})
    assert indexer.nodes[selection].type == SELECTION
    return Graph("drawn", geometry, tuple(fields), tuple(cache.nodes), tuple(writes.items()),
                 tuple(replace(n, line=0) for n in indexer.nodes), tuple(saves), selection)
