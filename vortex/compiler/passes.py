"""Named rewrites from Graph to Graph that keep its meaning: dead code, common subexpressions, order of operands."""
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from vortex.ir import Graph, Node, node_hash, node_hashes, summary_meanings
from vortex.language.ops.record import OPS

Pass = Callable[[Graph], Graph]


def _kept(nodes: Sequence[Node], roots: Sequence[int]) -> list[int]:
    """Indices of the nodes that `roots` are made of, in order."""
    wanted = set(roots)
    for index in range(len(nodes) - 1, -1, -1):
        if index in wanted:
            wanted.update(nodes[index].args)
    return sorted(wanted)


def _renumbered(nodes: Sequence[Node], home: Sequence[int]) -> tuple[tuple[Node, ...], dict[int, int]]:
    """Keeps each node that is its own `home` and points every reader of another at its home."""
    place: dict[int, int] = {}
    out: list[Node] = []
    for index, node in enumerate(nodes):
        if home[index] == index:
            place[index] = len(out)
            out.append(replace(node, args=tuple(place[a] for a in node.args)))
        elif home[index] >= 0:
            place[index] = place[home[index]]
    return tuple(out), place


def _with_programs(graph: Graph, cache_home: Sequence[int], indexer_home: Sequence[int]) -> Graph:
    cache, cache_place = _renumbered(graph.cache, cache_home)
    indexer, place = _renumbered(graph.indexer, indexer_home)
    return replace(
        graph, cache=cache, indexer=indexer, selection=place[graph.selection],
        writes=tuple((name, cache_place[node]) for name, node in graph.writes),
        saves=tuple((name, place[node]) for name, node in graph.saves),
    )


def without_dead_code(graph: Graph) -> Graph:
    """Drops nodes that no field, state or selection is made of, and summaries that nothing reads."""
    live = _kept(graph.indexer, [graph.selection, *(node for _, node in graph.saves)])
    alive = set(live)
    read = {node.attr("name") for i in live if (node := graph.indexer[i]).op in ("field", "state")}
    read |= {f.first for f in graph.states if isinstance(f.first, str)}
    writes = tuple((name, node) for name, node in graph.writes if name in read)
    saved = {name for name, _ in graph.saves}
    fields = tuple(f for f in graph.fields if f.name in read or f.name in saved)
    written = set(_kept(graph.cache, [node for _, node in writes]))
    return _with_programs(
        replace(graph, fields=fields, writes=writes),
        [i if i in written else -1 for i in range(len(graph.cache))],
        [i if i in alive else -1 for i in range(len(graph.indexer))],
    )


def _first_of_equals(nodes: Sequence[Node], named: Mapping[str, str]) -> list[int]:
    first: dict[str, int] = {}
    return [first.setdefault(digest, index) for index, digest in enumerate(node_hashes(nodes, named))]


def with_shared_subexpressions(graph: Graph) -> Graph:
    """Computes equal values once; two summaries of one value are one."""
    indexer = _first_of_equals(graph.indexer, summary_meanings(graph))
    return _with_programs(graph, _first_of_equals(graph.cache, {}), indexer)


def _sorted_operands(nodes: Sequence[Node], named: Mapping[str, str]) -> tuple[Node, ...]:
    digests: list[str] = []
    out: list[Node] = []
    for node in nodes:
        if OPS[node.op].commutative:
            node = replace(node, args=tuple(sorted(node.args, key=lambda a: digests[a])))
        out.append(node)
        digests.append(node_hash(node, digests, named))
    return tuple(out)


def with_ordered_operands(graph: Graph) -> Graph:
    """Gives the operands of commutative ops one order, so that `a + b` and `b + a` are one Graph."""
    graph = replace(graph, cache=_sorted_operands(graph.cache, {}))
    # The order must not depend on what fields are called.
    named = summary_meanings(graph)
    first = {f.name: named[f.first] if isinstance(f.first, str) else f.first for f in graph.states}
    states = {f.name: f"state {first[f.name]} {f.rows} {f.cols}" for f in graph.states}
    return replace(graph, indexer=_sorted_operands(graph.indexer, {**named, **states}))


PASSES: tuple[Pass, ...] = (without_dead_code, with_ordered_operands, with_shared_subexpressions, without_dead_code)


def canonical(graph: Graph) -> Graph:
    """The form in which Graphs are stored, compared and compiled."""
    for rewrite in PASSES:
        graph = rewrite(graph)
    return graph
