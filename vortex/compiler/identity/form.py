"""The deep normal form of a Graph and the hash of it: two flows of one hash select the same blocks, ties aside.

It assumes finite numbers of moderate size, and real arithmetic but for one thing: what enters a field or a state is
rounded there, and no arithmetic moves across that.
"""
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from vortex.compiler.identity.functions import stored
from vortex.compiler.identity.layout import Tensor, argument
from vortex.compiler.identity.rank import against, ranked
from vortex.compiler.identity.read import read
from vortex.compiler.identity.terms import Book, Poly, TooLong, digest_of, number_text, poly_key
from vortex.compiler.passes import canonical
from vortex.ir import FORMAT, Graph, Node


@dataclass(frozen=True, kw_only=True)
class Form:
    """`laws`: what was used to reach it, and at which lines. `parts`: digests of what it keeps and computes, by kind."""

    hash: str
    laws: Mapping[str, tuple[int, ...]]
    selection: str
    fields: Mapping[str, tuple[int, int]]       # digest of what is kept: its shape
    states: frozenset[str]
    words: frozenset[str]


def identity(graph: Graph) -> str:
    """32 hex digits of the algorithm: free of everything that no selection can see."""
    return normal_form(graph).hash


def normal_form(graph: Graph) -> Form:
    """Of a flow of thousands of ops that of its Graph alone: the same text but for names, order and dead code."""
    try:
        return _normal_form(graph)
    except TooLong:
        plain = canonical(graph).hash
        return Form(hash=digest_of(FORMAT, "long", plain), laws={}, selection=plain, fields={}, states=frozenset(),
                    words=frozenset())


def _normal_form(graph: Graph) -> Form:
    book = Book()
    live = _live_states(graph)
    summaries = _summaries(book, graph, _read_names(graph, live))
    named: dict[str, Tensor | str] = dict(summaries)
    for field in graph.states:
        if field.name in live:
            first = argument(summaries[field.first])[0] if isinstance(field.first, str) else number_text(field.first)
            named[field.name] = digest_of("state", first, field.rows, field.cols)
    wanted = _needed(graph.indexer, [graph.selection, *(node for name, node in graph.saves if name in live)])
    # A state's value is made of its own last value: as many rounds as there are states tell any two of them apart.
    for _ in live:
        values = read(book, graph.indexer, wanted, named)
        named |= {name: digest_of(named[name], _kept(book, values[node])) for name, node in graph.saves if name in live}
    values = read(book, graph.indexer, wanted, named)
    selection = _selected(book, graph.indexer, graph.selection, values)
    states = frozenset(str(named[name]) for name in live)
    fields = {digest_of(argument(x)[0]): x.shape for x in summaries.values()}
    return Form(
        hash=digest_of(FORMAT, sorted(asdict(graph.geometry).items()), selection, sorted(states)),
        laws={law: tuple(sorted(lines - {0})) for law, lines in book.used.items()},
        selection=digest_of(selection), fields=fields, states=states, words=frozenset(_words(graph, wanted)),
    )


def _needed(nodes: Sequence[Node], roots: Iterable[int]) -> list[int]:
    wanted = set(roots)
    for index in range(len(nodes) - 1, -1, -1):
        if index in wanted:
            wanted.update(nodes[index].args)
    return sorted(wanted)


def _read_by(graph: Graph, roots: Iterable[int], op: str) -> set[str]:
    return {str(n.attr("name")) for i in _needed(graph.indexer, roots) if (n := graph.indexer[i]).op == op}


def _live_states(graph: Graph) -> list[str]:
    """States that the selection is made of, at this step or a later one."""
    saves, live = dict(graph.saves), _read_by(graph, [graph.selection], "state")
    while True:
        more = live | _read_by(graph, [saves[name] for name in live], "state")
        if more == live:
            return sorted(live)
        live = more


def _read_names(graph: Graph, live: Sequence[str]) -> set[str]:
    """Summaries that the selection and live states are made of."""
    roots = [graph.selection, *(node for name, node in graph.saves if name in live)]
    first = {f.first for f in graph.states if f.name in live and isinstance(f.first, str)}
    return _read_by(graph, roots, "field") | first


def _summaries(book: Book, graph: Graph, wanted: set[str]) -> dict[str, Tensor]:
    writes = {name: node for name, node in graph.writes if name in wanted}
    values = read(book, graph.cache, _needed(graph.cache, writes.values()), {})
    return {name: _stored(book, values[node]) for name, node in writes.items()}


def _stored(book: Book, x: Tensor) -> Tensor:
    return Tensor(x.rows, x.cols, stored(book, x.body))


def _kept(book: Book, x: Tensor) -> object:
    return argument(_stored(book, x))[0]


def _selected(book: Book, nodes: Sequence[Node], index: int, values: Mapping[int, Tensor]) -> object:
    """What a Selection is, by its rule and as much of its score as that sees."""
    node = nodes[index]
    book.line = node.line
    if node.op == "union":
        parts = {repr(part): part for part in _united(book, nodes, index, values)}
        if len(parts) > 1:
            return "union", sorted(parts)
        return next(iter(parts.values()))
    if node.op == "everything":
        return ("everything",)
    attrs, score = dict(node.attrs), values[node.args[0]].body
    seen: Poly
    if node.op == "topk":
        seen = ranked(book, score)
    elif node.op == "threshold":
        seen = against(book, score, float(attrs.pop("t")))  # type: ignore[arg-type]  # a number, says its check
    else:
        seen = score
    return node.op, sorted((k, v) for k, v in attrs.items() if v is not None), poly_key(seen)


def _united(book: Book, nodes: Sequence[Node], index: int, values: Mapping[int, Tensor]) -> list[object]:
    """The parts of a union of unions, each once however often it is named."""
    waiting, leaves, seen = [index], list[int](), set[int]()
    while waiting:
        at = waiting.pop()
        if at in seen:
            continue
        seen.add(at)
        if nodes[at].op == "union":
            waiting.extend(nodes[at].args)
        else:
            leaves.append(at)
    return [_selected(book, nodes, leaf, values) for leaf in sorted(leaves)]


def _words(graph: Graph, wanted: Sequence[int]) -> Iterable[str]:
    return (graph.indexer[i].op for i in wanted)
