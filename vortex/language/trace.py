"""Runs a flow once on symbols and writes down its Graph."""
from collections.abc import Iterator, Mapping, Sequence

from vortex.errors import FieldError, Fix, FlowError, ShapeMismatch, Where
from vortex.ir import SELECTION, Field, FieldKind, Geometry, Graph, Lead, Node, Type
from vortex.language.cache import CacheSide, IndexerSide, Shape
from vortex.language.edits import declaration, redeclared, shape_text, undeclared, unread_of_several_lines
from vortex.language.ending import check_one_selection, not_a_selection, saved_before
from vortex.language.flow import vFlow
from vortex.language.ops.record import OPS, Side
from vortex.language.symbols import Tape, Value
from vortex.language.tracer import Tracer
from vortex.language.upstream import ObjectTracer


class TensorTracer(Tracer):
    """The tracing of one flow of our own spelling at one geometry."""

    def __init__(self, flow: type[vFlow], geometry: Geometry) -> None:
        super().__init__(flow, geometry)
        self.cache_tape = self._tape(Side.CACHE)
        self.cache = CacheSide(self.cache_tape)
        self._on(self.cache_tape, self.flow.forward_cache, self.cache)
        self.summaries = {name: value._node.type for name, value in self.cache.written.items()}
        self._check_declared(self.summaries, complete=False)

    def _check_declared(self, found: Mapping[str, Type], *, complete: bool) -> None:
        """What create_cache says and what the bodies write are one."""
        if self.declared is None:
            return
        begin = self.line_of("create_cache")
        own = next((name for name in self.geometry.stored if name in self.declared), None)
        if own is not None:
            where, fix = declaration(self.source, begin, own)
            raise FieldError(f'create_cache declares "{own}", which every block has of itself', where=where, fix=fix,
                             hint="Declare summaries and states only.")
        for name, type_ in found.items():
            if name not in self.declared:
                raise FieldError(f'"{name}" is written, and create_cache does not declare it', where=self.source.where(begin),
                                 hint="create_cache is optional: declare all fields in it, or leave it out.",
                                 fix=undeclared(self.source, begin, name, self._shape(begin, type_)))
            if self.declared[name] != type_.shape:
                where, _ = declaration(self.source, begin, name)
                raise ShapeMismatch(f'create_cache declares "{name}" as {list(self.declared[name])}, '
                                    f"and {type_} is written into it", where=where,
                                    hint="create_cache is optional: without it, shapes are those of what is written.",
                                    fix=redeclared(self.source, begin, name, self._shape(begin, type_)))
        unwritten = [name for name in self.declared if name not in found]
        if complete and unwritten:
            where, fix = declaration(self.source, begin, unwritten[0])
            raise FieldError(f'create_cache declares "{unwritten[0]}", and nothing writes it', where=where, fix=fix,
                             hint="Write it in forward_cache, or leave it out.")

    def _shape(self, begin: int, type_: Type) -> str:
        return shape_text(self.source, begin, *type_.shape, self.geometry)

    def indexer(self, shapes: Mapping[str, Shape], guess: Shape) -> Graph:
        """One pass of forward_indexer, with state of the given shapes; others are taken to be of `guess`."""
        tape = self._tape(Side.INDEXER)
        tape.explain = lambda args: self._explain(tape, args)
        cache = IndexerSide(tape, self.summaries, shapes, guess)
        query = tape.leaf("input", OPS["input"].infer((), {"name": "q"}, self.geometry), name="q")
        chosen = self._on(tape, self.flow.forward_indexer, query, cache)
        if not isinstance(chosen, Value) or chosen._node.type != SELECTION:
            raise not_a_selection(chosen, self.source, self.flow.last_line())
        check_one_selection(tape.nodes, chosen._index, self.source)
        unsaved = [name for name in cache.first if name not in cache.saved]
        if unsaved:
            raise FieldError(f'the state "{unsaved[0]}" is read and never saved', where=self._end(),
                             hint=f'Save it in forward_indexer: cache["{unsaved[0]}"] = ...',
                             fix=saved_before(self.source, self.flow.last_line(), unsaved[0]))
        self._check_read({*self.cache.read, *(str(n.attr("name")) for n in tape.nodes if n.op == "field"),
                          *(first for first in cache.first.values() if isinstance(first, str))})
        return self._graph(tape.nodes, cache, chosen)

    def _check_read(self, read: set[str]) -> None:
        """A summary that nothing reads would be computed and kept for nothing. Raises FieldError."""
        unread = next((name for name in self.summaries if name not in read), None)
        if unread is not None:
            line = self.cache_lines[unread]
            raise FieldError(f'cache["{unread}"] is written, and nothing reads it', where=self.source.where(line),
                             hint="Read it in forward_indexer, or leave it out.", fix=self._without(unread, line))

    def _without(self, name: str, line: int) -> Fix | None:
        """The edit that takes the writing of a field out, where it is one statement of one line."""
        text = self.source.line(line).strip()
        if text.startswith(f'cache["{name}"] = ') and text.count("(") == text.count(")"):
            return Fix(text, "pass")
        return unread_of_several_lines(self.source, line, name)

    def _end(self) -> Where:
        return self.source.where(self.flow.last_line())

    def _graph(self, nodes: Sequence[Node], cache: IndexerSide, chosen: Value) -> Graph:
        fields = [Field(name, *type_.shape) for name, type_ in self.summaries.items()]
        for name, value in cache.saved.items():
            fields.append(Field(name, *value._node.type.shape, FieldKind.STATE, cache.first.get(name, 0.0)))
        writes = tuple((name, value._index) for name, value in self.cache.written.items())
        saves = tuple((name, value._index) for name, value in cache.saved.items())
        return Graph(self.flow.flow_name or type(self.flow).__name__, self.geometry, tuple(fields),
                     tuple(self.cache_tape.nodes), writes, tuple(nodes), saves, chosen._index,
                     self.parameters.declared)

    def _explain(self, tape: Tape, args: Sequence[int]) -> str:
        """Where the summaries that `args` are made of were written, and with what."""
        told = []
        for name in dict.fromkeys(name for index in args for name in _fields_of(tape.nodes, index)):
            if name in self.summaries:
                line = self.cache_lines[name]
                told.append(f'"{name}" was written at line {line} as {self.summaries[name]}: '
                            f"{self.source.assigned(line)}")
        return "\n".join(told)

    @property
    def cache_lines(self) -> dict[str, int]:
        return {name: value._node.line for name, value in self.cache.written.items()}


def _fields_of(nodes: Sequence[Node], index: int) -> Iterator[str]:
    """The field that a value is, through transposes and slices."""
    while nodes[index].op in ("transpose", "slice", "gather"):
        index = nodes[index].args[0]
    if nodes[index].op == "field":
        yield nodes[index].attr("name")


def _guesses(geometry: Geometry, summaries: Mapping[str, Type]) -> list[Shape]:
    """Shapes that state may have, likely ones first: one pass needs one before what is saved is known."""
    rows, cols, group = geometry.block_size, geometry.head_dim, geometry.group
    usual = [(1, 1), (1, cols), (group, 1), (group, cols), (rows, 1), (1, group), (1, rows), (rows, cols)]
    return list(dict.fromkeys([*usual, *(type_.shape for type_ in summaries.values())]))


def trace(flow: type[vFlow], geometry: Geometry) -> Graph:
    """The Graph of `flow` at `geometry`. Raises FlowError, placed in the flow's text."""
    if flow.flow_upstream:
        return ObjectTracer(flow, geometry).graph()
    tracer = TensorTracer(flow, geometry)
    first: FlowError | None = None
    for guess in _guesses(geometry, tracer.summaries):
        shapes: dict[str, Shape] = dict(tracer.declared or {})
        try:
            graph = _settled(tracer, shapes, guess)
        except ShapeMismatch as error:
            first = first or error
            continue
        tracer._check_declared({**tracer.summaries, **{f.name: Type(Lead.BLOCK, f.rows, f.cols) for f in graph.states}},
                               complete=True)
        return graph
    assert first is not None
    raise first


def _settled(tracer: TensorTracer, shapes: dict[str, Shape], guess: Shape) -> Graph:
    """Passes until the state that is read has the shape of the state that is saved."""
    for _ in range(3):
        graph = tracer.indexer(shapes, guess)
        found = {f.name: (f.rows, f.cols) for f in graph.states}
        read = {str(n.attr("name")): n.type.shape for n in graph.indexer if n.op == "state"}
        if all(found[name] == shape for name, shape in read.items()):
            return graph
        shapes.update(found)
    raise ShapeMismatch("the shape of a state grows at every step", where=tracer._end(),
                        hint="Save a value of the shape that is read.")
