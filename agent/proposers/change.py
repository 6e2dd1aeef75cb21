"""What a mutation is, and the anatomy of a flow that mutations look at."""
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from agent.proposers.sketch import INDEXER, Sketch, redraw
from vortex.errors import FlowError
from vortex.ir import Graph, Lead, Node

REDUCTIONS = ("mean", "sum", "max", "min", "norm", "logsumexp")


@dataclass(frozen=True)
class Change:
    """A new Graph, what was changed in a few words ("mean over heads"), and why it might be better, in one sentence."""

    graph: Graph
    phrase: str
    hypothesis: str


# None where the flow has nothing that this mutation could change. May raise FlowError: the draw did not fit.
Mutation = Callable[[Graph, Random], Change | None]


def score_of(graph: Graph) -> int | None:
    """The node that blocks are taken by; None where the flow ends in a union, or takes everything."""
    last = graph.indexer[graph.selection]
    return last.args[0] if len(last.args) == 1 else None


def lanes_of(graph: Graph) -> tuple[int, Node] | None:
    """The scores before heads or sub-blocks are reduced to one number, and that reduction."""
    score = score_of(graph)
    if score is None:
        return None
    last = graph.indexer[score]
    if last.op not in REDUCTIONS or dict(last.attrs).get("every") is not None:
        return None
    lanes = graph.indexer[last.args[0]].type
    return (last.args[0], last) if lanes.lead is Lead.BLOCK and 1 < lanes.rows * lanes.cols <= 64 else None


def reduced(sketch: Sketch, node: int, how: str) -> int:
    """One number a block: both inner axes of `node` reduced by `how`, where they are wider than 1."""
    for dim in (2, 1):
        if sketch.shape(node)[dim - 1] > 1:
            node = sketch.add(INDEXER, how, node, dim=dim)
    return node


def scaled(sketch: Sketch, node: int, factor: float) -> int:
    return node if factor == 1.0 else sketch.add(INDEXER, "multiply", node, sketch.number(INDEXER, factor))


def on_score(graph: Graph, build: Callable[[Sketch, int], int]) -> Graph:
    """The same flow with `build(sketch, score)` as its score. Raises FlowError."""
    score = score_of(graph)
    if score is None:
        raise FlowError("the flow does not end in a plain top-k")
    sketch, place = redraw(graph)
    return sketch.graph(graph.name, build(sketch, place[score]))


def on_lanes(graph: Graph, build: Callable[[Sketch, int], int], how: str | None = None) -> Graph | None:
    """The same flow with `build(sketch, lanes)` reduced in its place, by `how` or as before. Raises FlowError."""
    found = lanes_of(graph)
    if found is None:
        return None
    sketch, place = redraw(graph)
    lanes = build(sketch, place[found[0]])
    score = sketch.add(INDEXER, found[1].op, lanes, **dict(found[1].attrs)) if how is None else reduced(sketch, lanes, how)
    return sketch.graph(graph.name, reduced(sketch, score, "max"))


def readers(nodes: tuple[Node, ...]) -> Mapping[int, list[int]]:
    """Who reads each node."""
    found: dict[int, list[int]] = {}
    for index, node in enumerate(nodes):
        for arg in node.args:
            found.setdefault(arg, []).append(index)
    return found
