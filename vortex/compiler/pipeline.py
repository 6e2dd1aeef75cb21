"""The whole way of a flow on one page: text, class, Graph, checks, canonical form, kernels, machine code, Program.

`load` (front.py) reads, traces, checks and rewrites; `kernels_of` fuses and generates; `reports` builds without a GPU;
`compile` makes the Program that runs.
"""
from collections.abc import Iterable, Sequence
from importlib.util import find_spec

from vortex.budget import check_budget
from vortex.compiler.front import load
from vortex.compiler.kernels.build import LIMIT_S, build_all, known_target
from vortex.compiler.kernels.kernel import Kernel
from vortex.compiler.kernels.report import KernelReport, Report
from vortex.compiler.kernels.sources import Types
from vortex.compiler.kernels.store import EXTRA
from vortex.compiler.program import Program
from vortex.config import OperatingPoint
from vortex.errors import EngineError, MissingExtra
from vortex.ir import Graph

__all__ = ["compile", "kernels_of", "load", "reports"]


def compile(graph: Graph, point: OperatingPoint, device: str = "cpu") -> Program:
    """A Program for `graph` at `point`.

    Raises EngineError for a device that no back end serves, BudgetError for a policy, CompileError for what kernels cannot
    say, MissingExtra.
    """
    kind = device.split(":")[0]
    if kind not in ("cpu", "cuda"):
        raise EngineError(f"no Program runs on {device!r}", hint="Devices: cpu, cuda.")
    if kind == "cpu":
        from vortex.compiler.cpu import CpuProgram  # torch: the rest of this page does without

        return CpuProgram(graph, check_budget(point))
    _need_triton()
    from vortex.compiler.kernels.program import TritonProgram  # Triton, which a machine without a GPU need not have

    return TritonProgram(graph, check_budget(point), device)


def kernels_of(graph: Graph, point: OperatingPoint, target: str, *, heads: int = 8,
               kv_dtype: str = "bfloat16") -> tuple[Kernel, ...]:
    """Every kernel of a decode step of `heads` kv heads on a chip. Raises CompileError, MissingExtra."""
    _need_triton()
    from vortex.compiler.kernels.catalogue import kernels_for  # Triton and torch

    types = Types(query="float32" if kv_dtype == "float32" else "bfloat16", kv=kv_dtype)
    return kernels_for(graph, check_budget(point), known_target(target), heads=heads, types=types)


def reports(graph: Graph, point: OperatingPoint, targets: Sequence[str], *, heads: int = 8, kv_dtype: str = "bfloat16",
            processes: int = 1, limit_s: float = LIMIT_S) -> tuple[Report, ...]:
    """The machine code of the flow's kernels on each chip, from the cache where it was built before. Needs no GPU."""
    found = [(target, kernels_of(graph, point, target, heads=heads, kv_dtype=kv_dtype)) for target in targets]
    return report_kernels(found, processes=processes, limit_s=limit_s)


def report_kernels(found: Iterable[tuple[str, Sequence[Kernel]]], *, processes: int = 1,
                   limit_s: float = LIMIT_S) -> tuple[Report, ...]:
    """A report for each target and its kernels."""
    found = list(found)
    facts = build_all([(kernel, target) for target, kernels in found for kernel in kernels], processes=processes, limit_s=limit_s)
    return tuple(Report(target=known_target(target), kernels=tuple(
        KernelReport(kernel=kernel, built=facts[kernel.digest, target]) for kernel in kernels)) for target, kernels in found)


def _need_triton() -> None:
    if find_spec("triton") is None:
        raise MissingExtra("kernels are made with Triton, and it is not installed", hint=EXTRA)
