"""Which lists a layer's rows attend in a step: chosen anew, or kept from their last selection."""
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vortex.compiler.kept import Kept, carry, joined, keep, rows
from vortex.compiler.program import Lists, Plan
from vortex.config import OperatingPoint


@dataclass(frozen=True, kw_only=True)
class Due:
    """The rows of a batch that select in this step, and a plan of them alone; None where none does."""

    rows: tuple[int, ...]
    plan: Plan | None


Select = Callable[[Due, Plan], Lists | None]


class Renewal:
    """What each layer keeps of its last selections, by request, where a point does not select in every step."""

    def __init__(self, point: OperatingPoint) -> None:
        self._every_step = point.renew_every == 1
        self._eos = point.block_reserved_eos
        self._kept: dict[int, tuple[tuple[str, ...], Kept]] = {}

    def lists(self, layer: int, requests: Sequence[str], plan: Plan, due: Due, select: Select) -> Lists | None:
        """The lists of all requests; None: every row attends everything."""
        here = tuple(requests)
        if due.plan is not None and len(due.rows) == len(here):
            lists = select(due, due.plan)
            if not self._every_step:
                self._kept[layer] = here, keep(plan, lists, self._eos)
            return lists
        known, kept = self._kept[layer]
        if due.rows or known != here:
            kept = self._merged(here, known, kept, due, select)
            self._kept[layer] = here, kept
        return carry(plan, kept)

    def _merged(self, here: tuple[str, ...], known: tuple[str, ...], kept: Kept, due: Due, select: Select) -> Kept:
        """What is kept of those who wait, beside what is chosen now, in the order of the batch."""
        waiting = [row for row in range(len(here)) if row not in due.rows]
        parts = [rows(kept, [known.index(here[row]) for row in waiting])]
        if due.plan is not None:
            parts.append(keep(due.plan, select(due, due.plan), self._eos))
        order = [*waiting, *due.rows]
        return rows(joined(parts), [order.index(row) for row in range(len(here))])
