"""One row in one decode step: what the ops of forward_indexer reach through `ctx`."""
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tests.oracle.values import Array, Format, Tensor


@dataclass
class Row:
    """A (request, kv head) pair of `blocks` blocks; `allowed` is its budget, reserved blocks counted.

    `taken` is None until a list was made. Saves wait in `saves`: a Load of the same step sees the value before it.
    """

    blocks: int
    bos: int
    eos: int
    allowed: int
    saves: dict[str, Array] = field(default_factory=dict)
    taken: list[int] | None = None
    score: Array | None = None
    fits: bool = False

    @property
    def scored(self) -> int:
        return self.blocks - self.eos

    def over_middle(self, x: Array) -> tuple[Array, Array]:
        """x of the blocks bos .. n-eos, and an output that holds no number for any block."""
        assert len(x) == self.scored
        return x[self.bos:], np.full(x.shape, np.nan)

    def best(self, score: Array, count: int) -> list[int]:
        """`count` blocks of the middle: highest first, equal ones by position, NaN last."""
        def order(block: int) -> tuple[bool, float, int]:
            value = float(score[block])
            return bool(np.isnan(value)), 0.0 if np.isnan(value) else -value, block

        return sorted(range(self.bos, self.scored), key=order)[:max(0, count)]

    def reserved(self) -> set[int]:
        return {*range(self.bos), *range(self.scored, self.blocks)}

    def take(self, score: Array, allowed: int) -> set[int] | None:
        """The blocks of one list of `allowed` blocks; None: it takes the whole row."""
        if self.blocks <= allowed:
            self.fits = True
            return None
        self.score = score
        return self.reserved() | set(self.best(score, allowed - self.bos - self.eos))

    def finish(self, *lists: set[int] | None) -> None:
        assert self.taken is None, "a second list for the same row"
        blocks = set(range(self.blocks)) if None in lists else set().union(*(x for x in lists if x is not None))
        self.taken = sorted(blocks)


class IndexerCache(Mapping[str, Tensor]):
    """cache[...] in forward_indexer: the fields of the row's scored blocks."""

    def __init__(self, fields: Mapping[str, Array]) -> None:
        self.fields = fields

    def __getitem__(self, name: str) -> Tensor:
        return Tensor(self.fields[name], Format.PAGED, name)

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)
