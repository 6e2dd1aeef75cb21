"""Which decode steps attend densely: decided on the host, from lengths alone, before the step begins."""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vortex.config import OperatingPoint
from vortex.ir import Graph

DENSE, SPARSE = "dense", "sparse"         # the two graphs that a batch size may be captured in


@dataclass(frozen=True, kw_only=True)
class DenseRule:
    """`below`: tokens by the largest batch size each entry holds for; shorter steps are dense, None: all of them are.

    `lists_whole_rows`: rows whose blocks all fit go the way of lists as well (tests, audits, accuracy stages).
    """

    below: Mapping[int, int | None] = field(default_factory=dict)
    lists_whole_rows: bool = False

    def dense(self, lens: Sequence[int]) -> bool:
        """Of a step whose requests have `lens` tokens: by the longest of them."""
        if not self.below or not lens:
            return False
        least = self.below[min((size for size in self.below if size >= len(lens)), default=max(self.below))]
        return least is None or max(lens) < least


NEVER = DenseRule(lists_whole_rows=True)


def fixed_rule(tokens: int) -> DenseRule:
    """The same number of tokens for every batch size."""
    return DenseRule(below={1: tokens} if tokens else {})


def rule_of(graph: Graph, point: OperatingPoint) -> DenseRule:
    """What holds from the first step on; where nothing is told but "auto", measuring may replace it."""
    if point.dense_below == "never":
        return NEVER
    below = point.dense_below
    # What state holds depends on every step.
    return fixed_rule(below) if isinstance(below, int) and not graph.states else DenseRule()


def measures(graph: Graph, point: OperatingPoint) -> bool:
    """Is the rule to be measured, where there are graphs to measure?"""
    return point.dense_below in (None, "auto") and not graph.states


def labels_of(graph: Graph, point: OperatingPoint) -> tuple[str, ...]:
    """The graphs that each batch size needs."""
    return (DENSE, SPARSE) if measures(graph, point) or rule_of(graph, point).below else (SPARSE,)
