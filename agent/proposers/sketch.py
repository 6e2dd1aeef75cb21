"""A Sketch: a Graph while it is being changed; every node gets its type from its op, so what comes out is well typed."""
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from vortex.errors import FlowError
from vortex.ir import Attr, Attrs, Field, FieldKind, Geometry, Graph, Lead, Node, Parameter, Type, node_hashes
from vortex.language.ops.record import Side, find
from vortex.language.parameters import merged

CACHE, INDEXER = Side.CACHE, Side.INDEXER
READS = ("field", "state")
GIVEN = ("k", "v")


@dataclass
class Sketch:
    """Two growing programs. Adding a node raises FlowError where its op does not take what it is given."""

    geometry: Geometry
    cache: list[Node] = field(default_factory=list)
    indexer: list[Node] = field(default_factory=list)
    writes: dict[str, int] = field(default_factory=dict)
    saves: dict[str, int] = field(default_factory=dict)
    states: dict[str, Field] = field(default_factory=dict)
    rule: tuple[str, Attrs] = ("topk", ())          # how blocks are taken by the score
    parameters: tuple[Parameter, ...] = ()

    def program(self, side: Side) -> list[Node]:
        return self.cache if side is CACHE else self.indexer

    def add(self, side: Side, op: str, *args: int, **attrs: Attr) -> int:
        """Appends a node and gives its index. Raises FlowError."""
        program, record = self.program(side), find(op)
        if side not in record.sides:
            raise FlowError(f"{op} does not live in {side}")
        kind = record.infer([program[a].type for a in args], attrs, self.geometry)
        program.append(Node(op, args, tuple(sorted(attrs.items())), kind))
        return len(program) - 1

    def number(self, side: Side, value: float) -> int:
        return self.add(side, "const", value=float(value))

    def key(self, name: str = "k") -> int:
        """The keys, or the values, of the block just completed."""
        return self.add(CACHE, "field", name=name)

    def query(self) -> int:
        return self.add(INDEXER, "input", name="q")

    def keep(self, name: str, node: int) -> int:
        """Writes a summary and reads it in the indexer."""
        return self.read(self.write(name, node))

    def write(self, name: str, node: int) -> str:
        """Writes a summary and gives its name: a summary of the same meaning is not kept twice."""
        hashes = node_hashes(self.cache, {})
        for known, at in self.writes.items():
            if hashes[at] == hashes[node]:
                return known
        name = self.free(name)
        self.writes[name] = node
        return name

    def read(self, name: str) -> int:
        """A field in the indexer: its type is that of what was written or saved under the name."""
        if name in GIVEN:
            return self.add(INDEXER, "field", name=name)
        if name in self.states:
            return self._supplied("state", name, self.states[name].rows, self.states[name].cols)
        return self._supplied("field", name, *self.cache[self.writes[name]].type.shape)

    def remember(self, name: str, rows: int, cols: int, first: float | str = 0.0) -> str:
        """Declares state and gives its name. What is to be saved goes into `saves`."""
        name = self.free(name)
        self.states[name] = Field(name, rows, cols, FieldKind.STATE, first)
        return name

    def free(self, name: str) -> str:
        """The name itself, or the first of name_2, name_3, ... that nothing has."""
        taken = {*GIVEN, *self.writes, *self.states}
        return name if name not in taken else next(n for i in range(2, 1000) if (n := f"{name}_{i}") not in taken)

    def shape(self, node: int) -> tuple[int, int]:
        return self.indexer[node].type.shape

    def graph(self, name: str, score: int) -> Graph:
        """The whole, taking blocks by `score` as the rule says. Raises FlowError."""
        for state, node in self.saves.items():
            if self.shape(node) != (self.states[state].rows, self.states[state].cols):
                raise FlowError(f"what is saved as {state} no longer has the shape of the state")
        op, attrs = self.rule
        selection = self.add(INDEXER, op, score, **dict(attrs))
        summaries = [Field(n, *self.cache[node].type.shape) for n, node in self.writes.items()]
        return Graph(name, self.geometry, (*summaries, *self.states.values()), tuple(self.cache),
                     tuple(self.writes.items()), tuple(self.indexer), tuple(self.saves.items()), selection,
                     self._used_parameters())

    def _used_parameters(self) -> tuple[Parameter, ...]:
        used = {node.attr("digest") for node in (*self.cache, *self.indexer) if node.op == "param"}
        return tuple({p.digest: p for p in self.parameters if p.digest in used}.values())

    def _supplied(self, op: str, name: str, rows: int, cols: int) -> int:
        self.indexer.append(Node(op, (), (("name", name),), Type(Lead.BLOCK, rows, cols)))
        return len(self.indexer) - 1


Edit = Callable[[Sketch, Side, int, Node, tuple[int, ...]], int | None]


def unchanged(sketch: Sketch, side: Side, index: int, node: Node, args: tuple[int, ...]) -> int | None:
    """The Edit that leaves every node as it is."""
    return None


def redraw(graph: Graph, edit: Edit = unchanged, into: Sketch | None = None) -> tuple[Sketch, Mapping[int, int]]:
    """Draws `graph` again, node by node, but for those where `edit` gives the index of what stands instead.

    The second value says where the nodes of the indexer went; the selection is left out, its score comes last.
    Raises FlowError where a change does not fit what follows it.
    """
    sketch = into or Sketch(graph.geometry)
    sketch.parameters = merged(sketch.parameters, graph.parameters)
    if into is None and len(graph.indexer[graph.selection].args) == 1:
        sketch.rule = (graph.indexer[graph.selection].op, graph.indexer[graph.selection].attrs)
    cache: dict[int, int] = {}
    for index, node in enumerate(graph.cache):
        cache[index] = _drawn(sketch, CACHE, edit, index, node, cache)
    names = {name: sketch.write(name, cache[at]) for name, at in graph.writes}
    for state in graph.states:
        first = names[state.first] if isinstance(state.first, str) else state.first
        names[state.name] = sketch.remember(state.name, state.rows, state.cols, first)
    indexer: dict[int, int] = {}
    for index, node in enumerate(graph.indexer):
        if node.op in READS and node.attr("name") in names:
            instead = edit(sketch, INDEXER, index, node, ())
            indexer[index] = sketch.read(names[node.attr("name")]) if instead is None else instead
        elif index != graph.selection:
            indexer[index] = _drawn(sketch, INDEXER, edit, index, node, indexer)
    sketch.saves.update((names[name], indexer[at]) for name, at in graph.saves)
    return sketch, indexer


def _drawn(sketch: Sketch, side: Side, edit: Edit, index: int, node: Node, place: Mapping[int, int]) -> int:
    args = tuple(place[a] for a in node.args)
    instead = edit(sketch, side, index, node, args)
    return sketch.add(side, node.op, *args, **dict(node.attrs)) if instead is None else instead
