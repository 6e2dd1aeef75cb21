"""Equal bytes: how many blocks a flow may attend when what it reads of its index is counted too (vortex/compiler/cost.py)."""
from dataclasses import dataclass

from vortex.budget import num_blocks
from vortex.compiler.cost import Shape, cost
from vortex.config import OperatingPoint
from vortex.ir import Graph

PLAIN: dict[str, object] = {"topk_ratio": 0.0, "topk_layers": (), "ratio_layers": (), "schedule_policy": None,
                            "max_topk_val": None}


@dataclass(frozen=True, kw_only=True)
class Spending:
    """A point at which a flow reads at most `allowed` bytes a step, and what it reads there.

    A flow whose index alone costs more attends the reserved blocks, and one that brings its own number of blocks what it
    asks for: both read more than is allowed, and `share` is over 1.
    """

    point: OperatingPoint
    read_bytes: int
    allowed_bytes: int

    @property
    def share(self) -> float:
        return self.read_bytes / self.allowed_bytes


def allowed_bytes(control: Graph, point: OperatingPoint, shape: Shape) -> int:
    """What `control` reads of K, V and its summaries in a decode step at `point`."""
    return cost(control, point, control.geometry, shape).bytes_per_step


def spend(graph: Graph, point: OperatingPoint, shape: Shape, allowed: int) -> Spending:
    """The largest budget, the same for all layers and heads, at which `graph` reads at most `allowed` bytes a step."""
    reserved = point.block_reserved_bos + point.block_reserved_eos
    low, high = 0, max(0, num_blocks(shape.context, point.block_size) - reserved)
    if _read(graph, point, shape, high) <= allowed:      # everything fits, and nothing is scored
        return _at(graph, point, shape, high, allowed)
    high = max(0, high - 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _read(graph, point, shape, middle) <= allowed else (low, middle - 1)
    return _at(graph, point, shape, low, allowed)


def _at(graph: Graph, point: OperatingPoint, shape: Shape, chosen: int, allowed: int) -> Spending:
    return Spending(point=_point(point, chosen), read_bytes=_read(graph, point, shape, chosen), allowed_bytes=allowed)


def _point(point: OperatingPoint, chosen: int) -> OperatingPoint:
    return point.with_(**PLAIN, topk_val=chosen)


def _read(graph: Graph, point: OperatingPoint, shape: Shape, chosen: int) -> int:
    return cost(graph, _point(point, chosen), graph.geometry, shape).bytes_per_step
