"""What a Graph's Selection asks for: the rules that it unites, and how many blocks each may take of a row."""
from dataclasses import dataclass
from typing import Any

from vortex.ir import Graph, Node

EVERYTHING = "everything"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One leaf of a Selection: `op` (topk, top_p, threshold, everything) applied to the value of node `score`."""

    op: str
    score: int = -1                       # a node of the indexer; -1: nothing is scored
    k: int | None = None                  # of topk, beside the reserved blocks; None: what the point allows
    at: float = 0.0                       # the p of top_p, the t of threshold
    tolerance: float = 0.0                # of topk: the share of the best that a kernel may miss

    def most(self, allowed: int, reserved: int) -> int:
        """How many blocks it takes at most beside the reserved ones, where the point allows `allowed` in all."""
        return (allowed - reserved) if self.k is None else self.k

    def fits(self, blocks: int, allowed: int, reserved: int) -> bool:
        """Would it take a row of `blocks` blocks whole?"""
        return self.op == EVERYTHING or blocks <= self.most(allowed, reserved) + reserved


def rules(graph: Graph) -> tuple[Rule, ...]:
    """The leaves of the Graph's Selection, left to right, each once."""
    waiting, leaves, seen = [graph.selection], list[Node](), set[int]()
    while waiting:
        index = waiting.pop()
        if index in seen:
            continue
        seen.add(index)
        if graph.indexer[index].op == "union":
            waiting.extend(reversed(graph.indexer[index].args))
        else:
            leaves.append(graph.indexer[index])
    return tuple(map(_rule, leaves))


def _rule(node: Node) -> Rule:
    attrs: dict[str, Any] = dict(node.attrs)
    return Rule(op=node.op, score=node.args[0] if node.args else -1, k=attrs.get("k"),
                at=float(attrs.get("p", attrs.get("t", 0.0))), tolerance=float(attrs.get("tolerance") or 0.0))


def fits(found: tuple[Rule, ...], blocks: int, allowed: int, reserved: int) -> bool:
    """A row that any leaf would take whole is dense: it is attended whole, neither scored nor saved."""
    return any(rule.fits(blocks, allowed, reserved) for rule in found)
