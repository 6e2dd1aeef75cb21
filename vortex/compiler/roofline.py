"""How long a decode step takes at best on a chip, and below which context dense attention is the faster one.

A kernel takes as long as its bytes, or its arithmetic where that is longer; a step is the sum of its kernels. Nothing here
was measured: `Assumptions` names what arithmetic cannot know.
"""
from dataclasses import dataclass, field

from vortex.budget import num_blocks
from vortex.compiler.bits import field_bytes
from vortex.compiler.chips import Chip
from vortex.compiler.cost import Shape
from vortex.compiler.shapes import ModelSizes
from vortex.compiler.step_cost import KernelCost, step_kernels
from vortex.config import OperatingPoint
from vortex.ir import Graph

WEIGHTS = "weights"
LONGEST = 2**20                           # tokens up to which a break-even point is looked for
STRIDE = 1.25                             # from one context that is looked at to the next


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """Shares of a chip's bandwidth that kernels reach, and time that is spent beside the kernels."""

    kv_bandwidth: float = 1.0             # of kernels over KV, summaries, scores and lists
    weight_bandwidth: float = 1.0
    step_ms: float = 0.0                  # a step: sampling, the host, all launches but those of selection
    select_us: float = 0.0                # a layer that selects: planning, scoring and selection beside their bytes
    launch_us: float = 0.0                # a kernel of attention and selection in a graph; 0: held by the two above
    memory_share: float = 0.85            # of a chip's memory, for weights, KV and summaries


IDEAL = Assumptions()
REALISTIC = Assumptions(kv_bandwidth=0.8, step_ms=0.5, select_us=10)


@dataclass(frozen=True, kw_only=True)
class Roofline:
    """One model on one chip."""

    model: ModelSizes
    chip: Chip
    assumptions: Assumptions = IDEAL
    kv_itemsize_bytes: int = 2
    weight_itemsize_bytes: int = 2

    def kernels(self, graph: Graph | None, point: OperatingPoint, batch: int, context: int) -> tuple[KernelCost, ...]:
        """Of one step for `batch` requests of `context` tokens; the model's own matrices come last. None: dense."""
        geometry = self.model.geometry(point.block_size)
        return *step_kernels(graph, point, geometry, self._shape(context), batch), self._weights(batch)

    def _shape(self, context: int) -> Shape:
        return Shape(context=context, layers=self.model.layers, kv_heads=self.model.pool_heads,
                     kv_itemsize_bytes=self.kv_itemsize_bytes)

    def _weights(self, batch: int) -> KernelCost:
        moved = {WEIGHTS: self.model.parameters_read(batch) * self.weight_itemsize_bytes}
        return KernelCost(kind=WEIGHTS, moved=moved, products=2 * batch * self.model.parameters_read(1))

    def kernel_s(self, kernel: KernelCost) -> float:
        """Seconds of all its launches."""
        share = self.assumptions.weight_bandwidth if kernel.kind == WEIGHTS else self.assumptions.kv_bandwidth
        arithmetic = kernel.products / self.chip.product_rate + kernel.operations / self.chip.operation_rate
        return max(self.memory_s(kernel) / share, arithmetic) + kernel.launches * self.assumptions.launch_us * 1e-6

    def memory_s(self, kernel: KernelCost) -> float:
        """Seconds that its bytes take at the chip's full bandwidth."""
        return sum(kernel.moved.values()) / self.chip.bandwidth

    def step_s(self, graph: Graph | None, point: OperatingPoint, batch: int, context: int) -> float:
        """Seconds of one step."""
        kernels = self.kernels(graph, point, batch, context)
        selections = sum(kernel.launches for kernel in kernels if kernel.kind == "select")
        beside = self.assumptions.step_ms * 1e-3 + selections * self.assumptions.select_us * 1e-6
        return beside + sum(map(self.kernel_s, kernels))

    def speedup(self, graph: Graph, point: OperatingPoint, batch: int, context: int) -> float:
        """How many times as fast as dense."""
        return self.step_s(None, point, batch, context) / self.step_s(graph, point, batch, context)

    def memory_bytes(self, graph: Graph | None, point: OperatingPoint, batch: int, context: int) -> float:
        """Weights, KV in whole blocks, summaries and state of the layers that select."""
        blocks = batch * num_blocks(context, point.block_size)
        kept = blocks * point.block_size * self.model.token_bytes(self.kv_itemsize_bytes)
        if graph is not None:
            layers = sum(point.mode(layer) == "select" for layer in range(self.model.layers))
            kept += blocks * layers * self.model.pool_heads * field_bytes(graph, point)
        return self.model.parameters * self.weight_itemsize_bytes + kept

    def fits(self, graph: Graph | None, point: OperatingPoint, batch: int, context: int) -> bool:
        """Is there memory for it?"""
        return self.memory_bytes(graph, point, batch, context) <= self.chip.memory_bytes * self.assumptions.memory_share

    def break_even(self, graph: Graph, point: OperatingPoint, batch: int) -> int | None:
        """Tokens a request, whole blocks, from which on the flow is faster than dense; None: not up to LONGEST."""
        size, contexts = point.block_size, [point.block_size]
        while contexts[-1] < LONGEST:
            contexts.append(min(LONGEST, size * max(contexts[-1] // size + 1, int(contexts[-1] / size * STRIDE))))
        slower = [at for at, context in enumerate(contexts) if self._dense_wins(graph, point, batch, context)]
        if not slower:
            return contexts[0]
        if slower[-1] == len(contexts) - 1:
            return None
        low, high = contexts[slower[-1]] // size, contexts[slower[-1] + 1] // size
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._dense_wins(graph, point, batch, middle * size) else (low, middle)
        return high * size

    def _dense_wins(self, graph: Graph, point: OperatingPoint, batch: int, context: int) -> bool:
        return self.step_s(None, point, batch, context) <= self.step_s(graph, point, batch, context)


def break_even(graph: Graph, point: OperatingPoint, model: ModelSizes, chip: Chip, batch: int,
               assumptions: Assumptions = REALISTIC) -> int | None:
    """Tokens a request below which dense is faster; None: the flow never is."""
    return Roofline(model=model, chip=chip, assumptions=assumptions).break_even(graph, point, batch)


@dataclass
class Fallback:
    """The rule by which an engine decodes a step densely: asked on the host, from lengths alone.

    What a batch size takes to decide is worked out once, in tens of milliseconds; then it is a comparison.
    """

    roofline: Roofline
    graph: Graph
    point: OperatingPoint
    _from: dict[int, int | None] = field(default_factory=dict, repr=False)

    def dense_is_faster(self, batch: int, context: float) -> bool:
        """`context`: tokens a request, of uneven ones their mean (selection saves at least as much on uneven ones)."""
        if batch not in self._from:
            self._from[batch] = self.roofline.break_even(self.graph, self.point, batch)
        least = self._from[batch]
        return least is None or context < least
