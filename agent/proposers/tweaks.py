"""Small blind mutations: another reduction, a function slipped in, a term dropped, a constant changed."""
from random import Random

from agent.proposers.change import REDUCTIONS, Change, Mutation, readers, score_of
from agent.proposers.sketch import CACHE, INDEXER, Sketch, redraw
from vortex.ir import Graph, Lead, Node
from vortex.language.ops.record import Side, find

# Between mean and sum of a fixed number of terms lies a constant factor: the ranking stays.
ALIKE = {"mean": ("mean", "sum"), "sum": ("mean", "sum")}
MONOTONE = ("exp", "sigmoid", "log", "sqrt")
FUNCTIONS = {CACHE: ("abs", "relu", "sigmoid", "sign"), INDEXER: ("abs", "relu", "sigmoid", "exp")}
TERMS = ("add", "subtract", "multiply", "maximum", "minimum")
PLACES = {(CACHE, 1): "over tokens", (CACHE, 2): "over channels", (INDEXER, 1): "over heads", (INDEXER, 2): "over channels"}


def _program(graph: Graph, side: Side) -> tuple[Node, ...]:
    return graph.cache if side is CACHE else graph.indexer


def _sites(graph: Graph, side: Side) -> list[tuple[Side, int, Node]]:
    return [(side, index, node) for index, node in enumerate(_program(graph, side))]


def other_reduction(graph: Graph, rng: Random) -> Change | None:
    score = score_of(graph)
    sites = [(side, index, node) for side, index, node in _sites(graph, CACHE) + _sites(graph, INDEXER)
             if node.op in REDUCTIONS and _program(graph, side)[node.args[0]].type.shape[node.attr("dim") - 1] > 1]
    if score is None or not sites:
        return None
    place, at, old = rng.choice(sites)
    new = rng.choice([op for op in REDUCTIONS if op not in ALIKE.get(old.op, (old.op,))])

    def edit(sketch: Sketch, side: Side, index: int, node: Node, args: tuple[int, ...]) -> int | None:
        return sketch.add(side, new, *args, **dict(node.attrs)) if (side, index) == (place, at) else None

    sketch, home = redraw(graph, edit)
    where = PLACES[place, old.attr("dim")]
    return Change(sketch.graph(graph.name, home[score]), f"{new} {where}",
                  f"The {old.op} {where} may hide what tells blocks apart; the {new} shows another side of the same numbers.")


def _ranks_alone(graph: Graph, at: int) -> bool:
    """Whether node `at` is the score but for functions that keep its order."""
    reads = readers(graph.indexer)
    while graph.indexer[at].type.shape == (1, 1):
        above = reads.get(at, [])
        if len(above) != 1:
            return False
        at = above[0]
        if at == graph.selection:
            return True
        if graph.indexer[at].op not in MONOTONE:
            return False
    return False


def slipped_in(graph: Graph, rng: Random) -> Change | None:
    """A function applied to a value on its way; never one that leaves the ranking as it is."""
    score = score_of(graph)
    if score is None:
        return None
    cache = [(CACHE, i, n) for _, i, n in _sites(graph, CACHE) if n.op not in ("const", *FUNCTIONS[CACHE])]
    indexer = [(INDEXER, i, n) for _, i, n in _sites(graph, INDEXER)
               if n.type.lead is Lead.BLOCK and n.op not in FUNCTIONS[INDEXER] and not _ranks_alone(graph, i)]
    if not cache + indexer:
        return None
    place, at, old = rng.choice(cache + indexer)
    function = rng.choice(FUNCTIONS[place])

    def edit(sketch: Sketch, side: Side, index: int, node: Node, args: tuple[int, ...]) -> int | None:
        if (side, index) != (place, at):
            return None
        name = node.attr("name") if node.op == "field" else ""
        plain = sketch.add(side, "field", name=name) if name else sketch.add(side, node.op, *args, **dict(node.attrs))
        return sketch.add(side, function, plain)

    sketch, home = redraw(graph, edit)
    what = str(old.attr("name")) if old.op == "field" else f"the {find(old.op).noun}"
    return Change(sketch.graph(graph.name, home[score]), f"{function} of {what}",
                  f"Signs and outliers of {what} may mislead the ranking: {function} takes them out before it counts.")


def dropped_term(graph: Graph, rng: Random) -> Change | None:
    score = score_of(graph)
    sites = [(side, index, node, arg) for side, index, node in _sites(graph, CACHE) + _sites(graph, INDEXER)
             for arg in (0, 1)
             if node.op in TERMS and _program(graph, side)[node.args[arg]].type == node.type]
    if score is None or not sites:
        return None
    place, at, old, kept = rng.choice(sites)

    def edit(sketch: Sketch, side: Side, index: int, node: Node, args: tuple[int, ...]) -> int | None:
        return args[kept] if (side, index) == (place, at) else None

    sketch, home = redraw(graph, edit)
    what = find(old.op).noun
    return Change(sketch.graph(graph.name, home[score]), f"one side of its {what}",
                  f"One side of the {what} may carry the ranking alone, at less to read and compute.")


def other_constant(graph: Graph, rng: Random) -> Change | None:
    score = score_of(graph)
    sites = [(i, n) for _, i, n in _sites(graph, INDEXER) if n.op == "const" or n.op == "softmax"]
    if score is None or not sites:
        return None
    at, old = rng.choice(sites)
    key = "value" if old.op == "const" else "scale"
    factor = rng.choice((0.25, 0.5, 2.0, 4.0))
    value = round(float(old.attr(key)) * factor, 6)

    def edit(sketch: Sketch, side: Side, index: int, node: Node, args: tuple[int, ...]) -> int | None:
        return sketch.add(side, node.op, *args, **{key: value}) if (side, index) == (INDEXER, at) else None

    sketch, home = redraw(graph, edit)
    return Change(sketch.graph(graph.name, home[score]), f"{key} {value:g}",
                  f"The {key} was set by hand: {value:g} may weigh the terms better.")


TWEAKS: tuple[tuple[float, Mutation], ...] = (
    (1.0, other_reduction), (1.0, slipped_in), (0.7, dropped_term), (0.7, other_constant),
)
