"""What a legal Graph is, as rows: each rule yields what breaks it. For traced Graphs and for JSON from anywhere."""
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from vortex.errors import FlowError, GraphError, UnknownOp
from vortex.ir import SELECTION, Geometry, Graph, Lead, Node, Type
from vortex.language.ops.record import OPS, Side, find
from vortex.language.ops.shapes import LARGEST_NUMBER, whole
from vortex.language.parameters import MOST_BYTES, checked_name, checked_shape, digest_of, size_of, total_size
from vortex.language.symbols import MOST_NODES

LARGEST = Geometry(block_size=1024, head_dim=1024, group=256)
BLOCKS_OWN = ("k", "v", "latent")     # never the name of a summary or state
Rule: TypeAlias = Callable[[Graph], Iterator[str]]


def _sides(graph: Graph) -> Iterator[tuple[Side, Sequence[Node]]]:
    yield Side.CACHE, graph.cache
    yield Side.INDEXER, graph.indexer


def _named(side: Side, index: int, node: Node) -> str:
    line = f", line {node.line}" if node.line else ""
    return f"node {index} of {side} ({node.op}{line})"


def geometry_is_possible(graph: Graph) -> Iterator[str]:
    sizes = graph.geometry
    for name in ("block_size", "head_dim", "group"):
        value, most = getattr(sizes, name), getattr(LARGEST, name)
        if not whole(value) or not 1 <= value <= most:
            yield f"{name} is not a whole number from 1 to {most}"
    latent = (sizes.kv_lora_rank, sizes.qk_rope_head_dim)
    if not all(whole(size) and size >= 0 for size in latent):
        yield "kv_lora_rank and qk_rope_head_dim are not whole numbers from 0 on"
    elif (sizes.latent and sum(latent) != sizes.head_dim) or (sizes.qk_rope_head_dim and not sizes.latent):
        yield f"kv_lora_rank {latent[0]} and qk_rope_head_dim {latent[1]} do not make up head_dim {sizes.head_dim}"


def programs_are_not_too_long(graph: Graph) -> Iterator[str]:
    for side, nodes in _sides(graph):
        if len(nodes) > MOST_NODES:
            yield f"{side} is longer than {MOST_NODES:,} operations"


def fields_have_names_of_their_own(graph: Graph) -> Iterator[str]:
    names = [f.name for f in graph.fields]
    for name in names:
        if not isinstance(name, str) or not name.isidentifier() or name in BLOCKS_OWN:
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
    if op.written_as is not None:
        return f"{op.usage} is written with other ops and is none itself"
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
    stored = set(graph.geometry.stored)
    known = {"field": {Side.CACHE: stored, Side.INDEXER: {*stored, *(f.name for f in graph.summaries)}},
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


def states_have_a_beginning(graph: Graph) -> Iterator[str]:
    summaries = {f.name: (f.rows, f.cols) for f in graph.summaries}
    for field in graph.fields:
        if isinstance(field.first, str):
            if field not in graph.states or summaries.get(field.first) != (field.rows, field.cols):
                yield f"{field.name!r} begins at {field.first!r}, which is not a summary of its shape"
        elif not abs(field.first) <= LARGEST_NUMBER:
            yield f"{field.name!r} begins at {field.first}, which is not a finite number"


def parameters_are_what_they_are_said_to_be(graph: Graph) -> Iterator[str]:
    names = [(p.file, p.key) for p in graph.parameters]
    if len({*names}) < len(names):
        yield "a parameter stands twice"
    for parameter in graph.parameters:
        try:
            checked_name(parameter.file, parameter.key)
            checked_shape(f"the parameter {parameter.key}", parameter.shape)
        except FlowError as error:
            yield error.message
            continue
        whole_data = len(parameter.data) in (0, size_of(parameter.shape))
        if not whole_data or (parameter.data and digest_of(parameter.shape, parameter.data) != parameter.digest):
            yield f'the numbers of "{parameter.key}" of {parameter.file} are not those of its digest'
    if total_size(graph.parameters) > MOST_BYTES:
        yield f"the parameters take more than {MOST_BYTES >> 20} MiB"


def parameters_are_there(graph: Graph) -> Iterator[str]:
    shapes = {p.digest: p.shape[-2:] for p in graph.parameters}
    for side, nodes in _sides(graph):
        for index, node in enumerate(nodes):
            if node.op == "param" and shapes.get(node.attr("digest")) != node.type.shape:
                yield f"{_named(side, index, node)} reads a parameter that is not there"


def selection_ends_the_indexer(graph: Graph) -> Iterator[str]:
    if graph.indexer[graph.selection].type != SELECTION:
        yield "the selection is not a Selection"
    united = {graph.selection}
    for index in range(len(graph.indexer) - 1, -1, -1):
        node = graph.indexer[index]
        reads = any(graph.indexer[a].type == SELECTION for a in node.args)
        if reads and node.op != "union":
            yield f"{_named(Side.INDEXER, index, node)} computes with a selection"
        if index in united:
            united.update(a for a in node.args if graph.indexer[a].type == SELECTION)
        elif node.type == SELECTION:
            yield f"{_named(Side.INDEXER, index, node)} is a selection that is not returned"


RULES: tuple[Rule, ...] = (
    geometry_is_possible, programs_are_not_too_long, fields_have_names_of_their_own, ops_are_used_as_they_are_meant,
    types_are_what_the_ops_make, reads_are_of_fields_that_exist, fields_are_written_once, states_have_a_beginning,
    parameters_are_what_they_are_said_to_be, parameters_are_there, selection_ends_the_indexer,
)


def check(graph: Graph) -> None:
    """Raises GraphError with the first rule that `graph` breaks."""
    for rule in RULES:
        problem = next(rule(graph), None)
        if problem is not None:
            raise GraphError(f"{graph.name}: {problem}", hint=f"Rule: {rule.__name__.replace('_', ' ')}.")
