"""Mutations of how the query heads of a group agree on one score a block."""
from random import Random

from agent.proposers.change import Change, Mutation, lanes_of, on_lanes, reduced, score_of
from agent.proposers.sketch import INDEXER, Sketch, redraw
from vortex.ir import Graph, Node
from vortex.language.ops.record import Side


def vote(graph: Graph, rng: Random) -> Change | None:
    """Each head's softmax over blocks, then the best or the sum of heads."""
    how, share = rng.choice(("max", "sum")), rng.choice((0.5, 1.0, 2.0)) * graph.geometry.head_dim ** -0.5
    if any(node.op == "softmax" for node in graph.indexer):
        return None
    changed = on_lanes(graph, lambda sketch, lanes: sketch.add(INDEXER, "softmax", lanes, scale=round(share, 4)), how)
    return None if changed is None else Change(
        changed, f"softmax heads, {how}", "Raw scores let the loudest head decide: shares of each head's attention, "
                                          f"of which the {how} is taken, weigh heads by how sure they are.")


def even(graph: Graph, rng: Random) -> Change | None:
    """Each head's scores brought to one length over the blocks before they compete."""
    if any(node.op in ("normalize", "softmax") for node in graph.indexer):
        return None
    changed = on_lanes(graph, lambda sketch, lanes: sketch.add(INDEXER, "normalize", lanes))
    return None if changed is None else Change(
        changed, "even heads", "Heads of large queries drown the others: scores of one length over the blocks give each head "
                               "the same say.")


def centred(graph: Graph, rng: Random) -> Change | None:
    """Each head's mean over the blocks taken off before they compete."""
    if any(node.op == "mean_over_blocks" for node in graph.indexer):
        return None

    def build(sketch: Sketch, lanes: int) -> int:
        return sketch.add(INDEXER, "subtract", lanes, sketch.add(INDEXER, "mean_over_blocks", lanes))

    changed = on_lanes(graph, build)
    return None if changed is None else Change(
        changed, "centred heads", "A head that likes every block carries no news: its mean over blocks should not help it win.")


def per_head(graph: Graph, rng: Random) -> Change | None:
    """Scores by each head where the flow scored by the mean query."""
    how, score = rng.choice(("max", "max", "logsumexp")), score_of(graph)
    means = {i for i, node in enumerate(graph.indexer)
             if node.op == "mean" and node.attrs == (("dim", 1),) and graph.indexer[node.args[0]].op == "input"}
    if score is None or not means:
        return None

    def edit(sketch: Sketch, side: Side, index: int, node: Node, args: tuple[int, ...]) -> int | None:
        return args[0] if side is INDEXER and index in means else None

    sketch, place = redraw(graph, edit)
    return Change(sketch.graph(graph.name, reduced(sketch, place[score], how)), f"{how} over heads",
                  "The mean query blurs heads that look for different things: score by each head and let the "
                  f"{'best' if how == 'max' else 'soft best'} one win.")


def mean_query(graph: Graph, rng: Random) -> Change | None:
    """Scores by the mean query where the flow scored by each head: an eighth of the arithmetic at group 8."""
    score, found = score_of(graph), lanes_of(graph)
    if score is None or found is None or any(n.op == "mean" and n.attrs == (("dim", 1),) for n in graph.indexer):
        return None

    def edit(sketch: Sketch, side: Side, index: int, node: Node, args: tuple[int, ...]) -> int | None:
        if node.op == "input":
            return sketch.add(INDEXER, "mean", sketch.query(), dim=1)
        return None

    sketch, place = redraw(graph, edit)
    return Change(sketch.graph(graph.name, place[score]), "mean query",
                  "Heads of one group often look alike: one score by their mean query costs less and averages noise away.")


HEADS: tuple[tuple[float, Mutation], ...] = ((1.0, vote), (1.0, even), (0.5, centred), (1.0, per_head), (0.7, mean_query))
