"""Groups a Graph's nodes into launches: what ranges over all blocks of a row ends one launch and begins the next.

Everything between two such ops is one kernel: elementwise ops, reductions, products, layout and state. A value that an op
across blocks is applied to is kept for the next launch; beside it stand only what is dear and the same for a whole row.
"""
from collections.abc import Sequence
from dataclasses import dataclass

from vortex.compiler.selection import EVERYTHING, rules
from vortex.ir import Graph, Lead, Node
from vortex.language.ops.record import find

DEAR_PRODUCT = 1024                       # multiplications of a row's own product, past which they are done once a row


@dataclass(frozen=True)
class Phase:
    """One launch over all scored blocks: `keeps` are nodes whose values are left for later launches."""

    keeps: tuple[int, ...]
    statistics: tuple[int, ...]           # ops across blocks whose operands are then complete


@dataclass(frozen=True)
class Fused:
    """The launches of an indexer, in order: `rows`, `phases`, then the last one, which writes scores and state."""

    rows: tuple[int, ...]                 # one per row and dear: made once a row
    mass: tuple[int, ...]                 # the exact attention mass: a launch of attention's own
    phases: tuple[Phase, ...]
    scores: tuple[int, ...]               # one a rule
    saves: tuple[tuple[str, int], ...]


def fuse(graph: Graph) -> Fused:
    nodes, found = graph.indexer, rules(graph)
    if any(rule.op == EVERYTHING for rule in found):          # united with others or alone: no row is ever scored
        return Fused(rows=(), mass=(), phases=(), scores=(), saves=())
    scores = tuple(rule.score for rule in found if rule.score >= 0)
    live = reachable(nodes, [*scores, *(node for _, node in graph.saves)])
    stage = _stages(nodes)
    across = [index for index in sorted(live) if find(nodes[index].op).across_blocks and nodes[index].args]
    phases = []
    for at in range(max((stage[index] for index in across), default=0)):
        ending = [index for index in across if stage[nodes[index].args[0]] == at]
        phases.append(Phase(keeps=tuple(sorted({nodes[index].args[0] for index in ending})),
                            statistics=tuple(index for index in ending if find(nodes[index].op).statistic)))
    return Fused(rows=tuple(index for index in sorted(live) if _dear(nodes, index, stage)),
                 mass=tuple(index for index in sorted(live) if nodes[index].op == "mass"),
                 phases=tuple(phases), scores=scores, saves=graph.saves)


def reachable(nodes: Sequence[Node], roots: Sequence[int]) -> frozenset[int]:
    waiting, found = list(roots), set[int]()
    while waiting:
        index = waiting.pop()
        if index not in found:
            found.add(index)
            waiting.extend(nodes[index].args)
    return frozenset(found)


def _stages(nodes: Sequence[Node]) -> list[int]:
    """How many launches over all blocks lie before each node."""
    stages: list[int] = []
    for node in nodes:
        before = max((stages[arg] for arg in node.args), default=0)
        stages.append(before + (find(node.op).across_blocks and bool(node.args)))
    return stages


def _dear(nodes: Sequence[Node], index: int, stage: Sequence[int]) -> bool:
    node = nodes[index]
    if node.type.lead is Lead.BLOCK or stage[index]:
        return False
    if node.op == "matmul":
        return node.type.rows * node.type.cols * nodes[node.args[0]].type.cols > DEAR_PRODUCT
    return node.op == "largest"
