"""What decode steps chose, counted without making the host wait for the device."""
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch


@dataclass(kw_only=True)
class Counters:
    """Since a process began, all flows it served taken together; rows of a layer are its (request, kv head) pairs."""

    device: torch.device
    steps: int = 0                        # decode steps that a flow was served for
    dense_steps: int = 0                  # of these, the ones that the dense rule took whole
    swaps: int = 0
    possible_blocks: int = 0              # that rows of sparse steps had
    _whole: int = field(default=0, init=False)
    _chosen: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        self._chosen = torch.zeros((), dtype=torch.int64, device=self.device)

    def step(self, dense: bool) -> None:
        """One decode step begins."""
        self.steps += 1
        self.dense_steps += dense

    def layer(self, blocks: Sequence[int], heads: int, counts: torch.Tensor | None) -> None:
        """One layer of a sparse step whose requests have so many blocks each; counts None: all rows attended all of them."""
        rows = heads * sum(blocks)
        self.possible_blocks += rows
        if counts is None:
            self._whole += rows
        else:
            self.chose(counts)

    def chose(self, counts: torch.Tensor) -> None:
        """Blocks that each row attends. May stand in a captured graph: then every replay counts again."""
        self._chosen.add_(counts.sum())

    @contextmanager
    def apart(self) -> Iterator[None]:
        """What is chosen while it is open, by steps of no request, does not count."""
        before = self._chosen.clone()
        try:
            yield
        finally:
            self._chosen.copy_(before)

    def told(self) -> dict[str, int]:
        """Waits for the device."""
        return {"steps": self.steps, "dense_steps": self.dense_steps, "possible_blocks": self.possible_blocks,
                "selected_blocks": self._whole + int(self._chosen), "swaps": self.swaps}
