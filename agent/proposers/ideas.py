"""Mutations that carry an idea: each builds on what is known of keys, values, heads and rotary channels."""
from random import Random

from agent.proposers.change import Change, Mutation, on_lanes, on_score, reduced, scaled, score_of
from agent.proposers.sketch import CACHE, INDEXER, Sketch, redraw
from vortex.ir import Graph, Lead, Node
from vortex.language.ops.record import Side


def _slow(sketch: Sketch, side: Side, node: int, share: int) -> int:
    """The slowest 1/share of the rotary channels: with rotate-half they stand last in each half of a head."""
    width = sketch.geometry.head_dim
    half, kept = width // 2, width // 2 // share
    low = sketch.add(side, "slice", node, dim=2, start=half - kept, stop=half)
    high = sketch.add(side, "slice", node, dim=2, start=width - kept, stop=width)
    return sketch.add(side, "cat", low, high, dim=2)


def slow_channels(graph: Graph, rng: Random) -> Change | None:
    score, share = score_of(graph), rng.choice((2, 2, 4))
    sliced = any(node.op in ("slice", "gather") for node in (*graph.cache, *graph.indexer))
    if score is None or sliced or graph.geometry.head_dim < 4 * share:
        return None

    def edit(sketch: Sketch, side: Side, index: int, node: Node, args: tuple[int, ...]) -> int | None:
        if node.op == "input":
            return _slow(sketch, INDEXER, sketch.query(), share)
        if node.op == "field" and node.attr("name") == "k":
            return _slow(sketch, side, sketch.add(side, "field", name="k"), share)
        return None

    sketch, place = redraw(graph, edit)
    return Change(sketch.graph(graph.name, place[score]), f"slow 1/{share} of the channels",
                  "Rotary embedding turns the fast channels several times within a block, so a summary of them is noise: "
                  f"the slow 1/{share} may rank blocks as well and reads 1/{share} of the bytes.")


def sub_blocks(graph: Graph, rng: Random) -> Change | None:
    score, parts = score_of(graph), rng.choice((2, 4, 4))
    size = graph.geometry.block_size
    split = {i for i, node in enumerate(graph.cache) if node.op in ("mean", "max", "min", "logsumexp")
             and node.attrs == (("dim", 1),) and graph.cache[node.args[0]].type.rows == size}
    if score is None or not split or size % parts:
        return None

    def edit(sketch: Sketch, side: Side, index: int, node: Node, args: tuple[int, ...]) -> int | None:
        if side is CACHE and index in split:
            return sketch.add(CACHE, node.op, *args, dim=1, every=size // parts)
        if side is INDEXER and node.op == "multiply":
            row, block = (sketch.indexer[a].type for a in args)
            if {row.lead, block.lead} == {Lead.ROW, Lead.BLOCK} and row.rows > 1 and block.rows > 1:
                return sketch.add(INDEXER, "kron", *args, dim=1)
        return None

    sketch, place = redraw(graph, edit)
    return Change(sketch.graph(graph.name, reduced(sketch, place[score], "max")), f"{parts} summaries a block",
                  f"One summary of {size} tokens blurs a single fact: one of every {size // parts} tokens, the best of which "
                  "speaks for the block, is sharper.")


def value_energy(graph: Graph, rng: Random) -> Change | None:
    """Values of larger norm move the output more (the gate of VATP-like methods)."""
    how, add = rng.choice(("mean", "max")), rng.random() < 0.5
    if score_of(graph) is None or any(n.op == "field" and n.attr("name") == "v" for n in graph.cache):
        return None

    def build(sketch: Sketch, score: int) -> int:
        length = sketch.add(CACHE, "norm", sketch.key("v"), dim=2)
        energy = sketch.keep("v_energy", sketch.add(CACHE, how, length, dim=1))
        if not add:
            return sketch.add(INDEXER, "multiply", score, energy)
        weight = sketch.geometry.head_dim ** 0.5
        return sketch.add(INDEXER, "add", score, scaled(sketch, sketch.add(INDEXER, "log", energy), round(weight, 3)))

    form = "log value energy" if add else "value energy"
    return Change(on_score(graph, build), form if how == "mean" else f"peak {form}",
                  f"What a block adds to the output is its mass times its values: the {how} norm of its values should "
                  "raise or lower its score.")


def _variance(sketch: Sketch) -> int:
    key = sketch.key()
    apart = sketch.add(CACHE, "subtract", key, sketch.add(CACHE, "mean", key, dim=1))
    return sketch.add(CACHE, "mean", sketch.add(CACHE, "multiply", apart, apart), dim=1)


def spread(graph: Graph, rng: Random) -> Change | None:
    """Second cumulant of log-sum-exp: log mean exp(s q.k) is about s q.mean + s^2/2 q^2.variance."""
    weight = rng.choice((0.5, 1.0, 2.0)) * graph.geometry.head_dim ** -0.5
    if "spread" in dict(graph.writes):
        return None

    def build(sketch: Sketch, lanes: int) -> int:
        query, variance = sketch.query(), sketch.keep("spread", _variance(sketch))
        squares = sketch.add(INDEXER, "multiply", query, query)
        term = sketch.add(INDEXER, "matmul", squares, sketch.add(INDEXER, "transpose", variance))
        if sketch.shape(lanes)[0] == 1 and sketch.shape(lanes)[1] == sketch.shape(term)[0]:
            term = sketch.add(INDEXER, "transpose", term)
        elif sketch.shape(lanes)[0] not in (1, sketch.shape(term)[0]) or sketch.shape(lanes) == (1, 1):
            term = sketch.add(INDEXER, "mean", term, dim=1)
        return sketch.add(INDEXER, "add", lanes, scaled(sketch, term, round(weight, 4)))

    changed = on_lanes(graph, build) or on_score(graph, build)
    return Change(changed, "key spread", "Two blocks of the same mean differ in their best key: the variance of the keys along "
                                         "the query is the next term of the block's true mass.")


def soft_envelope(graph: Graph, rng: Random) -> Change | None:
    """Mean and a few standard deviations instead of the extremes."""
    width, score = rng.choice((1.0, 1.5, 2.0)), score_of(graph)
    ends = {i: 1 if node.op == "max" else -1 for i, node in enumerate(graph.cache) if node.op in ("max", "min")
            and node.attrs == (("dim", 1),) and graph.cache[node.args[0]].op == "field"}
    if score is None or not ends:
        return None

    def edit(sketch: Sketch, side: Side, index: int, node: Node, args: tuple[int, ...]) -> int | None:
        if side is INDEXER or index not in ends:
            return None
        deviation = sketch.add(CACHE, "sqrt", _variance(sketch))
        reach = sketch.add(CACHE, "multiply", deviation, sketch.number(CACHE, width))
        return sketch.add(CACHE, "add" if ends[index] > 0 else "subtract", sketch.add(CACHE, "mean", *args, dim=1), reach)

    sketch, place = redraw(graph, edit)
    return Change(sketch.graph(graph.name, place[score]), f"envelope of {width:g} deviations",
                  "The extremes of a block follow its one outlier in every channel: the mean and "
                  f"{width:g} standard deviations bound what is likely instead.")


def neighbours(graph: Graph, rng: Random) -> Change | None:
    weight = rng.choice((0.25, 0.5, 0.75))
    if score_of(graph) is None or any(node.op == "conv" for node in graph.indexer):
        return None
    changed = on_score(graph, lambda sketch, score: sketch.add(INDEXER, "conv", score, taps=(1.0, weight)))
    return Change(changed, f"{weight:g} of the block before",
                  "A key at the end of a block has its value at the start of the next: a block should inherit part of the "
                  "score of the one before it.")


def memory(graph: Graph, rng: Random) -> Change | None:
    """Running average of scores, as accumulated-attention methods keep it."""
    fading = rng.choice((0.25, 0.5, 0.8))
    if score_of(graph) is None or graph.states:
        return None

    def build(sketch: Sketch, score: int) -> int:
        name = sketch.remember("running", 1, 1)
        score = sketch.add(INDEXER, "add", score, scaled(sketch, sketch.read(name), fading))
        sketch.saves[name] = score
        return score

    return Change(on_score(graph, build), f"memory {fading:g}",
                  "Neighbouring steps read the same places: a score that fades over steps is less noisy than that of one query.")


IDEAS: tuple[tuple[float, Mutation], ...] = (
    (1.5, slow_channels), (1.5, sub_blocks), (1.0, value_energy), (1.5, spread), (1.0, soft_envelope), (1.0, neighbours),
    (0.5, memory),
)
