"""From which context on a flow is faster than dense attention, measured by batch size on the engine that serves it."""
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vortex.serving.sglang.dense_rule import DENSE, SPARSE, DenseRule

SHORTEST, LONGEST = 512, 1 << 17          # tokens of the contexts that are tried
STRIDE = 2 ** 0.5                         # from one context to the next
Clock = Callable[[int, int, str], float]  # seconds of a step of so many requests, of so many tokens each, by DENSE or SPARSE


@dataclass(frozen=True, kw_only=True)
class Timed:
    requests: int
    context: int
    dense_s: float
    sparse_s: float


@dataclass
class Measured:
    """`below`: tokens by batch size, shorter steps are dense; None: all are."""

    below: dict[int, int | None] = field(default_factory=dict)
    timed: list[Timed] = field(default_factory=list)

    @property
    def rule(self) -> DenseRule:
        return DenseRule(below=self.below)

    def keep(self, path: Path, about: Mapping[str, str]) -> None:
        """Writes it down as JSON, with what it is `about`: chip, versions, date, flow."""
        told = {**about, "below": {str(size): below for size, below in self.below.items()},
                "timed": [{"requests": t.requests, "context": t.context, "dense_us": round(t.dense_s * 1e6, 1),
                           "sparse_us": round(t.sparse_s * 1e6, 1)} for t in self.timed]}
        path.write_text(json.dumps(told, indent=1))

    def __str__(self) -> str:
        return ", ".join(f"{size}: {'always' if below is None else below}" for size, below in self.below.items())


@dataclass(frozen=True, kw_only=True)
class Room:
    """What bounds contexts."""

    pool: int                             # tokens of all requests together
    request: int                          # tokens of one
    block_size: int

    def contexts(self, requests: int) -> tuple[int, ...]:
        """Tokens a request, whole blocks, ascending: what so many requests may have and is worth trying."""
        longest, context, found = min(LONGEST, self.request, self.pool // requests), float(SHORTEST), []
        while (whole := max(1, round(context / self.block_size)) * self.block_size) <= longest:
            found.append(whole)
            context *= STRIDE
        return tuple(dict.fromkeys(found))


def sizes_for(captured: Sequence[int]) -> tuple[int, ...]:
    """Batch sizes to measure: of those captured the powers of two, and the largest."""
    return tuple(size for size in sorted(captured) if not size & (size - 1) or size == max(captured))


def measured(clock: Clock, sizes: Sequence[int], room: Room, agree: Callable[[bool], bool] = bool) -> Measured:
    """Looks for the points by bisection: what a flow saves grows with the context.

    `agree` turns one rank's comparison into that of all: graphs of several ranks run together.
    """
    found = Measured()
    for size in sizes:
        contexts = room.contexts(size)
        if contexts:
            found.below[size] = _first_faster(clock, size, contexts, found.timed, agree)
    return found


def _first_faster(clock: Clock, requests: int, contexts: Sequence[int], timed: list[Timed],
                  agree: Callable[[bool], bool]) -> int | None:
    low, high = 0, len(contexts)
    while low < high:
        middle = (low + high) // 2
        one = Timed(requests=requests, context=contexts[middle], dense_s=clock(requests, contexts[middle], DENSE),
                    sparse_s=clock(requests, contexts[middle], SPARSE))
        timed.append(one)
        low, high = (low, middle) if agree(one.sparse_s < one.dense_s) else (middle + 1, high)
    return contexts[low] if low < len(contexts) else None
