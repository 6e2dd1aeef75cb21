"""A Program with the face of the GPU's over the CPU's: fixed inputs, one list buffer, requests that are not there."""
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from vortex.compiler.cpu import DTYPES, CpuProgram
from vortex.compiler.kernels.workspace import Inputs, WorkShape, make_inputs
from vortex.compiler.layout import CpuPlan
from vortex.compiler.program import Lists
from vortex.config import OperatingPoint
from vortex.ir import Graph

Tensors = Mapping[str, torch.Tensor]
GARBAGE = 0x7f7f7f7f


@dataclass
class Fixed:
    """`inputs` are what the host writes; the rest is made of them by `begin`."""

    inputs: Inputs
    lists: Lists
    live: list[int] = field(default_factory=list)
    plan: CpuPlan | None = None


class FixedCpuProgram(CpuProgram):
    """Notes what it is asked; writes garbage wherever the contract says that nothing is to be read."""

    def __init__(self, graph: Graph, point: OperatingPoint) -> None:
        super().__init__(graph, point)
        self.prepared: list[int] = []     # sizes
        self.selects = 0
        self.steps: list[int] = []        # requests that were there, by step

    def field_dtype(self, name: str) -> torch.dtype:
        return DTYPES[self.point.dtype]

    def prepare(self, *, requests: int, heads: int, blocks: int, device: torch.device, arena: object = None) -> Fixed:
        self.prepared.append(requests)
        shape = WorkShape(requests=requests, heads=heads, blocks=blocks, listed=blocks, rules=1, chunk=64)
        lists = Lists(index=torch.zeros(requests, heads, blocks, dtype=torch.int64),
                      counts=torch.zeros(requests, heads, dtype=torch.int64))
        return Fixed(make_inputs(shape, device), lists)

    def begin(self, plan: Fixed) -> None:
        plan.live = [row for row, length in enumerate(plan.inputs.lens.tolist()) if length]
        self.steps.append(len(plan.live))
        if plan.live:
            rows = plan.inputs
            plan.plan = self.plan(rows.lens[plan.live].tolist(), rows.tables[plan.live].long(), rows.seeds[plan.live].tolist())

    def update(self, fields: Tensors, state: Tensors, k: torch.Tensor, v: torch.Tensor, done_blocks: torch.Tensor,
               layer: int = 0) -> None:
        done = done_blocks[done_blocks >= 0]
        if done.numel():
            super().update(fields, state, k, v, done, layer)

    def select(self, plan: CpuPlan | Fixed, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, fields: Tensors, state: Tensors,
               layer: int) -> Lists:
        if isinstance(plan, CpuPlan):
            return super().select(plan, q, k, v, fields, state, layer)
        self.selects += 1
        plan.lists.index.fill_(GARBAGE)
        plan.lists.counts.fill_(GARBAGE)
        if plan.live:
            found = super().select(plan.plan, q[plan.live], k, v, fields, state, layer)
            plan.lists.index[plan.live, :, :found.index.shape[2]] = found.index
            plan.lists.counts[plan.live] = found.counts
        return plan.lists

    def attend(self, plan: CpuPlan | Fixed, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, lists: Lists | None,
               scale: float) -> torch.Tensor:
        if isinstance(plan, CpuPlan):
            return super().attend(plan, q, k, v, lists, scale)
        out = torch.full_like(q, float("nan"))
        if plan.live:
            own = lists and Lists(index=self._entries(plan, lists), counts=lists.counts[plan.live])
            out[plan.live] = super().attend(plan.plan, q[plan.live], k, v, own, scale)
        return out

    def _entries(self, plan: Fixed, lists: Lists) -> torch.Tensor:
        counts = lists.counts[plan.live]
        index = lists.index[plan.live, :, :int(counts.max())]
        return index.masked_fill(torch.arange(index.shape[2]) >= counts[..., None], 0)
