"""The whole way of a flow on one page: text, class, Graph, checks, canonical form, Program."""
from vortex.budget import check_budget
from vortex.compiler.cpu import CpuProgram
from vortex.compiler.front import load
from vortex.compiler.program import Program
from vortex.config import OperatingPoint
from vortex.errors import EngineError
from vortex.ir import Graph

__all__ = ["compile", "load"]


def compile(graph: Graph, point: OperatingPoint, device: str = "cpu") -> Program:
    """A Program for `graph` at `point`. Raises EngineError for a device that no back end serves, BudgetError for a policy."""
    if device.split(":")[0] not in ("cpu", "cuda"):
        raise EngineError(f"no Program runs on {device!r}", hint="Devices: cpu, cuda.")
    return CpuProgram(graph, check_budget(point))
