"""What a legal Graph is, as rows: each rule yields what breaks it. For traced Graphs and for JSON from anywhere."""
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from vortex.errors import FlowError, GraphError, UnknownOp
from vortex.ir import SELECTION, Geometry, Graph, Lead, Node, Type
from vortex.language.ops.record import OPS, Side, find
from vortex.language.ops.sources import KEYS_AND_VALUES
from vortex.language.symbols import MOST_NODES

LARGEST = Geometry(block_size=1024, head_dim=1024, group=256)
Rule: TypeAlias = Callable[[Graph], Iterator[str]]


def _sides(graph: Graph) -> Iterator[tuple[Side, Sequence[Node]]]:
    yield Side.CACHE, graph.cache
    yield Side.INDEXER, graph.indexer


def _named(side: Side, index: int, node: Node) -> str:
    line = f", line {node.line}" if node.line else ""
    return f"node {index} of {side} ({node.op}{line})"


def geometry_is_possible(graph: Graph) -> Iterator[str]:
    for name in ("block_size", "head_dim", "group"):
        value, most = getattr(graph.geometry, name), getattr(LARGEST, name)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            yield f"{name} is not a whole number from 1 to {most}"


def programs_are_not_too_long(graph: Graph) -> Iterator[str]:
    for side, nodes in _sides(graph):
        if len(nodes) > MOST_NODES:
            yield f"{side} is longer than {MOST_NODES:,} operations"


def fields_have_names_of_their_own(graph: Graph) -> Iterator[str]:
    names = [f.name for f in graph.fields]
    for name in names:
        if not isinstance(name, str) or not name.isidentifier() or name in KEYS_AND_VALUES:
            yield f"{name!r} does not name a field"
        elif names.count(name) > 1:
            yield f"there are two fields {name!r}"


def ops_are_used_as_they_are_meant(graph: Graph) -> Iterator[str]:
    for side, nodes in _sides(graph):
        for index, node in enumerate(nodes):
            problem = _misuse(side, nodes, node)
            if problem:
                yield f"{_named(side, index, node)}: {problem}"


def _misuse(side: Side, nodes: Sequence[Node], node: Node) -> str:
    try:
        op = find(node.op)
    except UnknownOp as error:
        return error.message
    if side not in op.sides:
        return f"it is not used in {side}"
    if len(node.args) != op.arity and (op.arity is not None or not node.args):
        return f"it has {len(node.args)} operands"
    if list(node.attrs) != sorted(node.attrs) or not {name for name, _ in node.attrs} <= op.attr_names:
        return f"its attributes are not those of {op.usage}"
    numbers = [nodes[a].op == "const" for a in node.args]
    if numbers and (all(numbers) or (any(numbers) and not op.numbers)):
        return f"{op.usage} is given a number where it takes a tensor"
    return ""


def types_are_what_the_ops_make(graph: Graph) -> Iterator[str]:
    fields = {f.name: Type(Lead.BLOCK, f.rows, f.cols) for f in graph.fields}
    for side, nodes in _sides(graph):
        for index, node in enumerate(nodes):
            try:
                made = _made(node, [nodes[a].type for a in node.args], fields, graph.geometry)
            except FlowError as error:
                yield f"{_named(side, index, node)}: {error.message}"
                continue
            if made != node.type:
                yield f"{_named(side, index, node)} is said to be {node.type} and is {made}"


def _made(node: Node, types: Sequence[Type], fields: Mapping[str, Type], geometry: Geometry) -> Type:
    """The type that an op makes; that of a summary or state is its field's. Raises FlowError."""
    name = dict(node.attrs).get("name")
    if node.op in ("field", "state") and isinstance(name, str) and name in fields:
        return fields[name]
    return OPS[node.op].infer(types, dict(node.attrs), geometry)


def reads_are_of_fields_that_exist(graph: Graph) -> Iterator[str]:
    summaries = {*KEYS_AND_VALUES, *(f.name for f in graph.summaries)}
    known = {"field": {Side.CACHE: set(KEYS_AND_VALUES), Side.INDEXER: summaries},
             "state": {Side.CACHE: set(), Side.INDEXER: {f.name for f in graph.states}}}
    for side, nodes in _sides(graph):
        for index, node in enumerate(nodes):
            if node.op in known and node.attr("name") not in known[node.op][side]:
                yield f"{_named(side, index, node)} reads {node.attr('name')!r}, which is not a {node.op} there"


def fields_are_written_once(graph: Graph) -> Iterator[str]:
    for fields, writes, nodes in ((graph.summaries, graph.writes, graph.cache),
                                  (graph.states, graph.saves, graph.indexer)):
        names = [name for name, _ in writes]
        for field in fields:
            if names.count(field.name) != 1:
                yield f"field {field.name!r} is written {names.count(field.name)} times"
        for name, index in writes:
            field_type = next((Type(Lead.BLOCK, f.rows, f.cols) for f in fields if f.name == name), None)
            if field_type is None:
                yield f"{name!r} is written and is not a field"
            elif nodes[index].type != field_type:
                yield f"field {name!r} is {field_type} and is written with {nodes[index].type}"


def selection_ends_the_indexer(graph: Graph) -> Iterator[str]:
    if graph.indexer[graph.selection].type != SELECTION:
        yield "the selection is not a Selection"
    for index, node in enumerate(graph.indexer):
        if node.type == SELECTION and index != graph.selection:
            yield f"{_named(Side.INDEXER, index, node)} is a second selection"
        if graph.selection in node.args:
            yield f"{_named(Side.INDEXER, index, node)} computes with a selection"


RULES: tuple[Rule, ...] = (
    geometry_is_possible, programs_are_not_too_long, fields_have_names_of_their_own, ops_are_used_as_they_are_meant,
    types_are_what_the_ops_make, reads_are_of_fields_that_exist, fields_are_written_once, selection_ends_the_indexer,
)


def check(graph: Graph) -> None:
    """Raises GraphError with the first rule that `graph` breaks."""
    for rule in RULES:
        problem = next(rule(graph), None)
        if problem is not None:
            raise GraphError(f"{graph.name}: {problem}", hint=f"Rule: {rule.__name__.replace('_', ' ')}.")
