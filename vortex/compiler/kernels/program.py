"""The Program in Triton: plans on the device, scores by a flow's own kernels, selects, attends; nothing waits for the host.

A decode step can be captured in a CUDA graph: `prepare` makes a plan at fixed addresses, `begin` plans from what the host
has written there.
"""
from collections.abc import Hashable, Mapping, Sequence

import torch

from vortex.budget import budget, num_blocks
from vortex.compiler.kernels.attention import attend
from vortex.compiler.kernels.flow_kernels import FlowKernels
from vortex.compiler.kernels.launch import interpreted
from vortex.compiler.kernels.plan import KernelPlan, Planned
from vortex.compiler.kernels.planner import Planner, listed, parts_of
from vortex.compiler.kernels.sources import Types, field_dtype
from vortex.compiler.kernels.workspace import Arena, Inputs, Worklist, WorkShape, make_inputs, make_worklist
from vortex.compiler.program import Lists, Plan
from vortex.compiler.selection import fits, rules
from vortex.config import OperatingPoint
from vortex.errors import EngineError
from vortex.ir import Graph
from vortex.language.ops.noise import wrapped

Tensors = Mapping[str, torch.Tensor]
ALIGNED = 16                              # columns of tables: rows of them begin at 64 bytes


class TritonProgram:
    """See Program for shapes. Right when it equals compiler/reference.py. Raises CompileError for what kernels cannot say.

    `fused`: do scores and selection share a launch? None: where rows fit on chip.
    """

    def __init__(self, graph: Graph, point: OperatingPoint, device: str = "cuda", *, fused: bool | None = None) -> None:
        if device.split(":")[0] != "cuda" and not interpreted():
            raise EngineError(f"kernels do not run on {device!r}", hint="Set TRITON_INTERPRET=1 to interpret them on a CPU.")
        self.graph = graph
        self.point = point
        self._fused = fused
        self._rules = rules(graph)
        self._rank = graph.geometry.kv_lora_rank
        self._kernels: dict[Types, FlowKernels] = {}

    def field_dtype(self, name: str) -> torch.dtype:
        """How the pool of a field or state is kept."""
        found: torch.dtype = getattr(torch, field_dtype(self.graph, self.point, self.graph.field(name)))
        return found

    def plan(self, lens: Sequence[int], tables: torch.Tensor, seeds: Sequence[int]) -> KernelPlan:
        blocks = tuple(num_blocks(length, self.point.block_size) for length in lens)
        columns = -(-max(blocks) // ALIGNED) * ALIGNED
        device = tables.device
        whole = torch.zeros(len(lens), columns, dtype=torch.int32, device=device)
        whole[:, :max(blocks)] = tables[:, :max(blocks)]
        inputs = Inputs(lens=torch.tensor(lens, dtype=torch.int32, device=device), tables=whole,
                        seeds=torch.tensor([wrapped(seed) for seed in seeds], dtype=torch.int64, device=device))
        return KernelPlan(lens=tuple(lens), blocks=blocks, tables=tables[:, :max(blocks)], seeds=tuple(seeds), inputs=inputs)

    def prepare(self, *, requests: int, heads: int, blocks: int, device: torch.device,
                arena: Arena | None = None) -> KernelPlan:
        """A plan for steps of `requests` requests of at most `blocks` blocks; the host fills its `inputs`."""
        shape = WorkShape(requests=requests, heads=heads, blocks=-(-blocks // ALIGNED) * ALIGNED, listed=0, rules=0, chunk=1)
        inputs = make_inputs(shape, device, arena)
        return KernelPlan(lens=(), blocks=(), tables=inputs.tables, seeds=(), inputs=inputs, fixed=True, arena=arena)

    def begin(self, plan: KernelPlan) -> None:
        """Plans the step anew for all layers that have asked before; part of what is captured."""
        for planned in plan.planned.values():
            planned.launch()

    def fits(self, plan: Plan, layer: int) -> bool:
        assert isinstance(plan, KernelPlan)
        reserved = self.point.block_reserved_bos + self.point.block_reserved_eos
        return not plan.fixed and all(
            fits(self._rules, n, budget(n, self.point, layer, head), reserved)
            for n in set(plan.blocks) for head in range(self._heads_told(layer)))

    def update(self, fields: Tensors, state: Tensors, k: torch.Tensor, v: torch.Tensor, done_blocks: torch.Tensor,
               layer: int = 0) -> None:
        # Summaries read keys and values alone: queries are of the cache's dtype here, whatever they will be.
        self._of(k, k).update(fields, state, k, v, done_blocks, layer)

    def select(self, plan: Plan, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, fields: Tensors, state: Tensors,
               layer: int) -> Lists:
        assert isinstance(plan, KernelPlan)
        kernels = self._of(q, k)
        work = self._worklist(plan, q.shape[1], layer, kernels.texts.chunk)
        q = q.contiguous()
        kernels.select(plan, work, q, k, v, fields, state, layer)
        return self._lists(plan, work)

    def attend(self, plan: Plan, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, lists: Lists | None,
               scale: float) -> torch.Tensor:
        assert isinstance(plan, KernelPlan)
        q = q.contiguous()
        out = torch.empty(*q.shape[:3], self._rank or v.shape[3], dtype=q.dtype, device=q.device)
        index, counts = (None, None) if lists is None else (lists.index, lists.counts)
        scratch = plan.attention(q, k, None if self._rank else v, None if index is None else index.shape[2], self._rank)
        attend(q, k, v, plan.inputs.tables, plan.inputs.lens, out, scale=scale, index=index, counts=counts, rank=self._rank,
               scratch=scratch)
        return out

    def _of(self, q: torch.Tensor, k: torch.Tensor) -> FlowKernels:
        types = Types(query=str(q.dtype).removeprefix("torch."), kv=str(k.dtype).removeprefix("torch."))
        if types not in self._kernels:
            self._kernels[types] = FlowKernels(self.graph, self.point, types, q.device, self._fused)
        return self._kernels[types]

    def _heads_told(self, layer: int) -> int:
        """How many kv heads the tables of the layer's budget tell apart."""
        tables = (self.point.topk_layers, self.point.ratio_layers)
        entries = [table[min(layer, len(table) - 1)] for table in tables if table]
        return max((len(entry) for entry in entries if isinstance(entry, tuple)), default=1)

    def _worklist(self, plan: KernelPlan, heads: int, layer: int, chunk: int) -> Worklist:
        """Of the layer's budget; made and planned when a layer of that budget first asks in a plan."""
        part: Hashable = (parts_of(self.point, [layer])[layer], heads)
        if part not in plan.planned:
            blocks = plan.inputs.tables.shape[1]
            shape = WorkShape(requests=plan.requests, heads=heads, blocks=blocks, rules=len(self._rules), chunk=chunk,
                              listed=listed(self.point, self._rules, blocks, layer, heads))
            device = plan.inputs.lens.device
            planner = Planner(self._rules, self.point, shape, layer, device)
            work = make_worklist(shape, device, plan.arena, part)
            planner.check(plan.blocks)
            plan.planned[part] = Planned(worklist=work, launch=lambda: planner.launch(plan.inputs, work))
            plan.planned[part].launch()
        return plan.planned[part].worklist

    def _lists(self, plan: KernelPlan, work: Worklist) -> Lists:
        """Views of the worklist in a fixed plan; else copies that stay what they are."""
        shape = work.shape
        index, counts = work.index.view(shape.requests, shape.heads, -1), work.counts.view(shape.requests, shape.heads)
        if plan.fixed:
            return Lists(index=index, counts=counts)
        beyond = torch.arange(shape.listed, device=index.device) >= counts[..., None]
        return Lists(index=index.long().masked_fill(beyond, 0), counts=counts.long())


