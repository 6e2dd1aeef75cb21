"""What an op of the upstream computes on: arrays [lead, a, b] in float64, and what their leading axis means."""
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Format(Enum):
    """BATCHED: one for the row. RAGGED: one per block of the row. PAGED: a field, one per block of the pool."""

    BATCHED = 0
    RAGGED = 1
    PAGED = 2


@dataclass
class Tensor:
    """`data` [lead, a, b]. PAGED data are those of the blocks at hand; `field` is the name they are kept under."""

    data: Array
    format: Format
    field: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def ndim(self) -> int:
        return 3

    def dim(self) -> int:
        return 3

    def size(self, axis: int | None = None) -> int | tuple[int, ...]:
        return self.data.shape if axis is None else self.data.shape[axis]


def result_format(*inputs: Tensor) -> Format:
    """BATCHED if every input is, else RAGGED."""
    return Format.BATCHED if all(x.format is Format.BATCHED for x in inputs) else Format.RAGGED


def per_block(compute: Callable[..., Array], *inputs: Tensor) -> Tensor:
    """`compute` on the [a, b] of every block in turn; what is one for the row is seen by every block."""
    for x in inputs:
        assert isinstance(x, Tensor), f"{type(x).__name__} is no tensor"
        assert x.data.ndim == 3
    blocks = max(len(x.data) for x in inputs)
    assert all(len(x.data) in (1, blocks) for x in inputs)
    results = []
    with np.errstate(all="ignore"):
        for i in range(blocks):
            results.append(compute(*(x.data[i if len(x.data) > 1 else 0] for x in inputs)))
    return Tensor(np.stack(results), result_format(*inputs))
