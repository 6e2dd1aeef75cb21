"""Crossover: one flow that scores by two parents at once."""
from random import Random

from agent.proposers.change import Change, scaled, score_of
from agent.proposers.sketch import INDEXER, Sketch, redraw
from vortex.compiler.identity.form import identity
from vortex.ir import Graph


def _sum(sketch: Sketch, mine: int, other: int, weight: float) -> int:
    return sketch.add(INDEXER, "add", mine, scaled(sketch, other, weight))


def _even_sum(sketch: Sketch, mine: int, other: int, weight: float) -> int:
    mine, other = (sketch.add(INDEXER, "normalize", part) for part in (mine, other))
    return _sum(sketch, mine, other, weight)


def _either(sketch: Sketch, mine: int, other: int, weight: float) -> int:
    parts = [sketch.add(INDEXER, "normalize", part) for part in (mine, other)]
    return sketch.add(INDEXER, "maximum", parts[0], scaled(sketch, parts[1], weight))


FORMS = ((_sum, "{w} {name}", "their errors differ, so their sum should rank better than either"),
         (_even_sum, "{w} {name}, evened", "brought to one length over the blocks, each corrects the other's outliers"),
         (_either, "{w} {name}, either", "a block that either of them rates highly should be read"))


def crossed(graph: Graph, other: Graph, name: str, rng: Random) -> Change | None:
    """The scores of both, added, evened and added, or the larger of both. Raises FlowError."""
    mine, theirs = score_of(graph), score_of(other)
    if mine is None or theirs is None or identity(graph) == identity(other):
        return None
    build, phrase, why = rng.choice(FORMS)
    weight = rng.choice((0.25, 0.5, 1.0))
    sketch, place = redraw(graph)
    _, grafted = redraw(other, into=sketch)
    score = build(sketch, place[mine], grafted[theirs], weight)
    return Change(sketch.graph(graph.name, score), phrase.format(w=f"{weight:g}", name=name),
                  f"Both parents see something of a block: {why}.")
