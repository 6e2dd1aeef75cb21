"""Runs a flow once on symbols and writes down its Graph."""
import difflib
import linecache
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from vortex.errors import FieldError, FlowContractError, FlowError, NoSelection, ShapeMismatch, VortexError, Where
from vortex.ir import SELECTION, Field, FieldKind, Geometry, Graph, Lead, Node, Type
from vortex.language.flow import vFlow
from vortex.language.ops.record import OPS, Side
from vortex.language.ops.shapes import shown
from vortex.language.ops.sources import KEYS_AND_VALUES
from vortex.language.symbols import TAPE, Tape, Value

PYTHON_ERRORS = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, NameError, RecursionError)
MOST_NAME = 64
Shape = tuple[int, int]


@dataclass(frozen=True)
class Source:
    """The text a flow was written in, for placing what is wrong in it."""

    path: str
    text: str

    def line(self, number: int) -> str:
        if self.text:
            lines = self.text.splitlines()
            return lines[number - 1] if 0 < number <= len(lines) else ""
        return linecache.getline(self.path, number)

    def where(self, number: int) -> Where:
        return Where(self.path, number, self.line(number).strip())

    def assigned(self, number: int) -> str:
        """What the assignment on this line assigns."""
        return self.line(number).partition(" = ")[2].partition("  #")[0].strip()


def source_of(flow: type[vFlow]) -> Source:
    return Source(flow.forward_indexer.__code__.co_filename, flow.flow_text)


def _lines(trace: TracebackType | None, path: str) -> Iterator[int]:
    """The lines of `path` that a traceback runs through, outermost first."""
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            yield trace.tb_lineno
        trace = trace.tb_next


def _innermost(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_code.co_filename if trace is not None else ""


def run(source: Source, body: Callable[..., Any], *args: object) -> Any:
    """Runs a flow's code; what goes wrong in it is placed, and errors of Python become errors of the flow."""
    try:
        return body(*args)
    except VortexError as error:
        raise error.at(source.where(max([0, *list(_lines(error.__traceback__, source.path))[-1:]]))) from None
    except PYTHON_ERRORS as error:
        lines = list(_lines(error.__traceback__, source.path))
        if _innermost(error) != source.path and not isinstance(error, RecursionError):
            raise
        message = f"{type(error).__name__}: {str(error)[:200]}"
        raise FlowContractError(message, where=source.where(lines[-1] if lines else 0)) from error


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not name.isidentifier() or len(name) > MOST_NAME:
        raise FieldError(f"{shown(name)} does not name a field", hint='A field is named like a variable: cache["hi"].')
    return name


def _per_block(name: str, value: object, doing: str) -> Value:
    """Only a tensor with one value a block can be kept. Raises FieldError, ShapeMismatch."""
    if not isinstance(value, Value):
        raise FieldError(f'cache["{name}"] is {doing} {shown(value)}, which is not a tensor')
    type_ = value._node.type
    if type_.lead is not Lead.BLOCK:
        raise ShapeMismatch(f'cache["{name}"] is {doing} {type_}, which does not vary from block to block',
                            hint="A field keeps one value a block.")
    return value


class CacheSide:
    """`cache` in forward_cache: k and v are read, summaries are written, each once."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._written: dict[str, Value] = {}

    def __getitem__(self, name: object) -> Value:
        name = _checked_name(name)
        if name in KEYS_AND_VALUES:
            return _key(self._tape, name)
        if name not in self._written:
            raise FieldError(f'cache["{name}"] is read before it is written', hint=_written_hint(name, self._written))
        value = self._written[name]
        return self._tape.apply(OPS["stored"], [value], {})

    def __setitem__(self, name: object, value: object) -> None:
        name = _checked_name(name)
        if name in KEYS_AND_VALUES:
            raise FieldError(f'cache["{name}"] holds the keys or values themselves and is never written',
                             hint="Write to a field of another name.")
        if name in self._written:
            raise FieldError(f'cache["{name}"] is written twice', hint="Give the second value a name of its own.")
        self._written[name] = _per_block(name, value, "written with")

    def state(self, name: object, first: object = 0.0) -> Value:
        raise FieldError("state is read in forward_indexer only")


class IndexerSide:
    """`cache` in forward_indexer: k, v, summaries and state are read, state is saved."""

    def __init__(self, tape: Tape, summaries: Mapping[str, Type], shapes: Mapping[str, Shape], guess: Shape) -> None:
        self._tape = tape
        self._summaries = summaries
        self._shapes = shapes
        self._guess = guess
        self._first: dict[str, float] = {}
        self._saved: dict[str, Value] = {}

    def __getitem__(self, name: object) -> Value:
        name = _checked_name(name)
        if name in KEYS_AND_VALUES:
            return _key(self._tape, name)
        if name in self._saved or name in self._first:
            raise FieldError(f'cache["{name}"] is state, and its value before this step is asked for by another word',
                             hint=f'Write cache.state("{name}", first=0.0).')
        if name not in self._summaries:
            raise FieldError(f'cache["{name}"] is never written', hint=_written_hint(name, self._summaries))
        return self._tape.leaf("field", self._summaries[name], name=name)

    def state(self, name: object, first: object = 0.0) -> Value:
        """The value saved under `name` by the last step; `first` for a block that is new."""
        name = self._own(name)
        if not isinstance(first, int | float) or not abs(first) <= 3.4e38:
            raise FieldError(f"first={shown(first)} is not a finite number")
        if self._first.setdefault(name, float(first)) != float(first):
            raise FieldError(f'the state "{name}" is given two first values, {self._first[name]} and {float(first)}')
        return self._tape.leaf("state", Type(Lead.BLOCK, *self._shapes.get(name, self._guess)), name=name)

    def __setitem__(self, name: object, value: object) -> None:
        name = self._own(name)
        if name in self._saved:
            raise FieldError(f'cache["{name}"] is written twice', hint="Save a state once a step.")
        self._saved[name] = _per_block(name, value, "saved as")

    def _own(self, name: object) -> str:
        name = _checked_name(name)
        if name in KEYS_AND_VALUES or name in self._summaries:
            raise FieldError(f'cache["{name}"] is written when a block completes and cannot be state as well',
                             hint="Give the state a name of its own.")
        return name


def _key(tape: Tape, name: str) -> Value:
    return tape.leaf("field", OPS["field"].infer((), {"name": name}, tape.geometry), name=name)


def _written_hint(name: str, written: Mapping[str, object]) -> str:
    names = [*KEYS_AND_VALUES, *written]
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f'Did you mean cache["{close[0]}"]?'
    return f'Write it in forward_cache first: cache["{name}"] = ...; there are {", ".join(names)}.'


class Tracer:
    """The tracing of one flow at one geometry."""

    def __init__(self, flow: type[vFlow], geometry: Geometry) -> None:
        if flow.flow_guard is not None:
            flow.flow_guard.steps = 0
        self.flow = flow(geometry)
        self.geometry = geometry
        self.source = source_of(flow)
        self.declared = self._declared()
        self.cache_tape = Tape(Side.CACHE, geometry, self.source.path)
        self.cache = CacheSide(self.cache_tape)
        self.cache_tape.explain = lambda args: ""
        self._on(self.cache_tape, self.flow.forward_cache, self.cache)
        self.summaries = {name: value._node.type for name, value in self.cache._written.items()}
        self._check_declared(self.summaries, complete=False)

    def _on(self, tape: Tape, body: Callable[..., Any], *args: object) -> Any:
        token = TAPE.set(tape)
        try:
            return run(self.source, body, *args)
        finally:
            TAPE.reset(token)

    def _declared(self) -> dict[str, Shape] | None:
        declared = run(self.source, self.flow.create_cache, self.geometry.block_size, self.geometry.head_dim)
        if declared is None:
            return None
        shapes = isinstance(declared, dict) and all(
            isinstance(name, str) and isinstance(shape, tuple | list) and len(shape) == 2
            and all(isinstance(size, int) and size > 0 for size in shape) for name, shape in declared.items())
        if not shapes:
            raise FlowContractError("create_cache does not return {name: (rows, cols)}", where=Where(self.source.path))
        return {_checked_name(name): (shape[0], shape[1]) for name, shape in declared.items()}

    def _check_declared(self, found: Mapping[str, Type], *, complete: bool) -> None:
        """What create_cache says and what the bodies write are one."""
        if self.declared is None:
            return
        where = Where(self.source.path)
        for name, type_ in found.items():
            if name not in self.declared:
                raise FieldError(f'"{name}" is written, and create_cache does not declare it', where=where)
            if self.declared[name] != type_.shape:
                raise ShapeMismatch(f'create_cache declares "{name}" as {list(self.declared[name])}, '
                                    f"and {type_} is written into it", where=where)
        unwritten = [name for name in self.declared if name not in found]
        if complete and unwritten:
            raise FieldError(f'create_cache declares "{unwritten[0]}", and nothing writes it', where=where,
                             hint="Write it in forward_cache, or leave it out.")

    def indexer(self, shapes: Mapping[str, Shape], guess: Shape) -> Graph:
        """One pass of forward_indexer, with state of the given shapes; others are taken to be of `guess`."""
        tape = Tape(Side.INDEXER, self.geometry, self.source.path)
        tape.explain = lambda args: self._explain(tape, args)
        cache = IndexerSide(tape, self.summaries, shapes, guess)
        query = tape.leaf("input", OPS["input"].infer((), {"name": "q"}, self.geometry), name="q")
        chosen = self._on(tape, self.flow.forward_indexer, query, cache)
        if not isinstance(chosen, Value) or chosen._node.type != SELECTION:
            raise NoSelection(f"forward_indexer returns {_returned(chosen)}, not a Selection", where=self._end(),
                              hint="End it with: return ops.topk(score).")
        unsaved = [name for name in cache._first if name not in cache._saved]
        if unsaved:
            raise FieldError(f'the state "{unsaved[0]}" is read and never saved', where=self._end(),
                             hint=f'Save it in forward_indexer: cache["{unsaved[0]}"] = ...')
        return self._graph(tape.nodes, cache, chosen)

    def _end(self) -> Where:
        code = self.flow.forward_indexer.__code__
        last = max((line for _, _, line in code.co_lines() if line is not None), default=code.co_firstlineno)
        return self.source.where(last)

    def _graph(self, nodes: Sequence[Node], cache: IndexerSide, chosen: Value) -> Graph:
        fields = [Field(name, *type_.shape) for name, type_ in self.summaries.items()]
        for name, value in cache._saved.items():
            fields.append(Field(name, *value._node.type.shape, FieldKind.STATE, cache._first.get(name, 0.0)))
        writes = tuple((name, value._index) for name, value in self.cache._written.items())
        saves = tuple((name, value._index) for name, value in cache._saved.items())
        return Graph(self.flow.flow_name or type(self.flow).__name__, self.geometry, tuple(fields),
                     tuple(self.cache_tape.nodes), writes, tuple(nodes), saves, chosen._index)

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
        return {name: value._node.line for name, value in self.cache._written.items()}


def _returned(chosen: object) -> str:
    return f"a tensor {chosen}" if isinstance(chosen, Value) else "nothing" if chosen is None else shown(chosen)


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
    tracer = Tracer(flow, geometry)
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


def _settled(tracer: Tracer, shapes: dict[str, Shape], guess: Shape) -> Graph:
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
