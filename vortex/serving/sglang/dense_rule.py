"""Which decode steps attend densely: decided on the host, from lengths alone, before the step begins."""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class DenseRule:
    """`below`: tokens by the largest batch size each entry holds for; shorter steps are dense, None: all of them are.

    `lists_whole_rows`: rows whose blocks all fit go the way of lists as well (tests, audits, accuracy stages).
    """

    below: Mapping[int, int | None] = field(default_factory=dict)
    lists_whole_rows: bool = False

    def dense(self, lens: Sequence[int]) -> bool:
        """Of a step whose requests have `lens` tokens: by the longest of them."""
        if not self.below:
            return False
        least = self.below[min((size for size in self.below if size >= len(lens)), default=max(self.below))]
        return least is None or max(lens) < least


NEVER = DenseRule(lists_whole_rows=True)


def fixed_rule(tokens: int) -> DenseRule:
    """The same number of tokens for every batch size."""
    return DenseRule(below={1: tokens} if tokens else {})
