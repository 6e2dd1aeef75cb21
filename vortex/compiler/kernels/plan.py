"""A decode step as the kernels see it: inputs at fixed addresses, and the worklists that layers of one budget share."""
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import torch

from vortex.compiler.kernels.attention import AttentionScratch, make_scratch, shape_of
from vortex.compiler.kernels.workspace import Arena, Inputs, Worklist
from vortex.compiler.program import Plan


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A worklist, and what writes it anew when lengths have changed."""

    worklist: Worklist
    launch: Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class KernelPlan(Plan):
    """`fixed`: the host does not know the lengths (lens, blocks and seeds are empty), and lists are views of the worklist."""

    inputs: Inputs
    fixed: bool = False
    arena: Arena | None = None            # of plans that never run at once with this one
    planned: dict[Hashable, Planned] = field(default_factory=dict)
    scratch: dict[Hashable, torch.Tensor] = field(default_factory=dict)
    splits: dict[Hashable, AttentionScratch] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        return self.inputs.lens.shape[0]

    def room(self, name: str, *shape: int) -> torch.Tensor:
        """Float32 scratch that keeps its address; what it holds is of the last launch that wrote it."""
        if (name, shape) not in self.scratch:
            arena = self.arena or Arena(self.inputs.lens.device)
            self.scratch[name, shape] = arena.take(name, shape, torch.float32)
        return self.scratch[name, shape]

    def attention(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor | None, listed: int | None,
                  rank: int) -> AttentionScratch:
        """Where the splits of attention leave their parts; listed None: over all blocks."""
        shape = shape_of(q, k, v, sparse=listed is not None, rank=rank)
        key = (shape, q.shape[1], listed)
        if key not in self.splits:
            most = self.inputs.tables.shape[1] if listed is None else listed
            self.splits[key] = make_scratch(shape, self.requests, q.shape[1], most, q.device, arena=self.arena)
        return self.splits[key]
