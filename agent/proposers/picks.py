"""Mutations that read less: the query's strong channels, a few tokens of a block, summaries of few bits, other rules."""
from random import Random

from agent.proposers.change import Change, Mutation, on_score, reduced, score_of
from agent.proposers.sketch import CACHE, INDEXER, Sketch, redraw
from vortex.ir import Graph, Node
from vortex.language.ops.record import Side

BITS = {"fp8": "8", "int4": "4"}
WHOLE = ("k", "v")


def _named(graph: Graph, ops: tuple[str, ...]) -> bool:
    return any(node.op in ops for node in (*graph.cache, *graph.indexer))


def strong_channels(graph: Graph, rng: Random) -> Change | None:
    """RocketKV's gather (Behnam et al., arXiv 2502.14051): the query says which channels are worth reading."""
    score, share, width = score_of(graph), rng.choice((2, 4, 8)), graph.geometry.head_dim
    read = {i for i, node in enumerate(graph.indexer)
            if node.op == "field" and node.type.cols == width and node.attr("name") not in WHOLE}
    if score is None or not read or width < 2 * share or _named(graph, ("take", "slice", "gather", "param")):
        return None

    def strong(sketch: Sketch) -> int:
        size = sketch.add(INDEXER, "sum", sketch.add(INDEXER, "abs", sketch.query()), dim=1)
        return sketch.add(INDEXER, "largest", size, r=width // share)

    def edit(sketch: Sketch, side: Side, index: int, node: Node, args: tuple[int, ...]) -> int | None:
        if side is INDEXER and (node.op == "input" or index in read):
            whole = sketch.query() if node.op == "input" else sketch.read(node.attr("name"))
            return sketch.add(INDEXER, "take", whole, strong(sketch), dim=2)
        return None

    sketch, place = redraw(graph, edit)
    return Change(sketch.graph(graph.name, place[score]), f"strong 1/{share} of the channels",
                  f"A product of query and key lives in the query's large channels: the strongest 1/{share}, chosen anew at "
                  "every step, rank blocks almost as all of them do.")


def speaking_tokens(graph: Graph, rng: Random) -> Change | None:
    """InfLLM's representatives (Xiao et al., arXiv 2402.04617): tokens stand for a block where a mean did."""
    score, count = score_of(graph), rng.choice((1, 2, 4))
    size = graph.geometry.block_size
    means = {i for i, node in enumerate(graph.cache) if node.op == "mean" and node.attrs == (("dim", 1),)
             and graph.cache[node.args[0]].op == "field" and node.type.cols == graph.geometry.head_dim}
    if score is None or not means or count * 4 > size:
        return None
    unlike = rng.random() < 0.5

    def edit(sketch: Sketch, side: Side, index: int, node: Node, args: tuple[int, ...]) -> int | None:
        if side is INDEXER or index not in means:
            return None
        keys = args[0]
        mean = sketch.add(CACHE, "mean", keys, dim=1)
        if unlike:
            apart = sketch.add(CACHE, "norm", sketch.add(CACHE, "subtract", keys, mean), dim=2)
            order = sketch.add(CACHE, "transpose", apart)
        else:
            order = sketch.add(CACHE, "matmul", mean, sketch.add(CACHE, "transpose", keys))
        return sketch.add(CACHE, "take", keys, sketch.add(CACHE, "largest", order, r=count), dim=1)

    sketch, place = redraw(graph, edit)
    kind = "odd" if unlike else "typical"
    return Change(sketch.graph(graph.name, reduced(sketch, place[score], "max")), f"{count} {kind} tokens",
                  f"A mean answers to no token in particular: the {count} most {kind} keys of a block, kept as they are, "
                  "answer as the block itself would.")


def few_bits(graph: Graph, rng: Random) -> Change | None:
    """Summaries as the index stores of DSA (8 bits) and Twilight (4 bits) keep them."""
    kind = rng.choice(("fp8", "int4", "int4"))
    written = {node for _, node in graph.writes if graph.cache[node].type.cols > 1}
    score = score_of(graph)
    if score is None or not written or _named(graph, ("quantize", "sign")):
        return None

    def edit(sketch: Sketch, side: Side, index: int, node: Node, args: tuple[int, ...]) -> int | None:
        if side is CACHE and index in written and node.op != "field":
            made = sketch.add(CACHE, node.op, *args, **dict(node.attrs))
            return sketch.add(CACHE, "quantize", made, format=kind, dim=2)
        return None

    sketch, place = redraw(graph, edit)
    return Change(sketch.graph(graph.name, place[score]), f"summaries of {BITS[kind]} bits",
                  f"What is read while scoring is mostly summaries: at {BITS[kind]} bits a number they cost a fraction, and "
                  "the ranking needs little precision.")


def share_rule(graph: Graph, rng: Random) -> Change | None:
    """Twilight's rule (Lin et al., arXiv 2502.02770): easy steps read less than the budget allows."""
    p, score = rng.choice((0.8, 0.9, 0.95)), score_of(graph)
    if score is None or graph.indexer[graph.selection].op != "topk":
        return None
    steep = graph.geometry.head_dim ** -0.5 * rng.choice((0.5, 1.0))
    sketch, place = redraw(graph)
    sketch.rule = ("top_p", (("p", p),))
    scaled = sketch.add(INDEXER, "multiply", place[score], sketch.number(INDEXER, round(steep, 4)))
    return Change(sketch.graph(graph.name, scaled), f"top-p {p:g}",
                  "A sharp step needs two blocks and a flat one many: take blocks until their shares reach "
                  f"{p:g}, and save what the budget would have read.")


def beside_recent(graph: Graph, rng: Random) -> Change | None:
    """StreamingLLM's window beside the score (Xiao et al., arXiv 2309.17453)."""
    weight = rng.choice((0.02, 0.1))
    if score_of(graph) is None or _named(graph, ("position",)):
        return None

    def build(sketch: Sketch, score: int) -> int:
        evened = sketch.add(INDEXER, "normalize", score)
        late = sketch.add(INDEXER, "normalize", sketch.add(INDEXER, "position"))
        return sketch.add(INDEXER, "add", evened, sketch.add(INDEXER, "multiply", late, sketch.number(INDEXER, weight)))

    return Change(on_score(graph, build), f"{weight:g} of recency",
                  "Of two blocks that score alike the later one is likelier to be read: a little weight on position decides.")


PICKS: tuple[tuple[float, Mutation], ...] = (
    (1.0, strong_channels), (1.0, speaking_tokens), (1.0, few_bits), (0.7, share_rule), (0.4, beside_recent),
)
