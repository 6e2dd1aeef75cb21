"""The compile stage: the machine code of a flow's kernels on the GPU that the point names. Needs no GPU."""
import time
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from evaluator.report import Row, StageResult, Status
from evaluator.stage import Answered, Context, Problem, Usual
from evaluator.stages.settings import StageSettings, read_settings
from evaluator.worker import JobError
from vortex.compiler.kernels.machine_code import CODES
from vortex.compiler.kernels.report import hint
from vortex.compiler.pipeline import kernels_of, report_kernels
from vortex.config import OperatingPoint
from vortex.errors import CompileError, MissingExtra, VortexError
from vortex.ir import Graph
from vortex.serving.engine import Engine

NAME = "compile"


class CompileSettings(StageSettings):
    """Built for `kv_heads` and a cache of `kv_dtype`. `spilled_bytes` a thread may keep in memory for want of registers;
    `kernel_s` is how long one kernel may take to build."""

    kv_heads: Annotated[int, Field(ge=1)] = 8
    kv_dtype: Literal["bfloat16", "float16", "float32", "float8_e4m3fn", "float8_e5m2"] = "bfloat16"
    spilled_bytes: Annotated[int, Field(ge=0)] = 0
    kernel_s: Annotated[float, Field(gt=0)] = 60.0


@dataclass(frozen=True)
class CompileStage(Usual):
    """One problem, the target; without a target none, and the stage costs nothing."""

    settings: CompileSettings
    name: str = NAME

    @property
    def timeout_s(self) -> float:
        return self.settings.timeout_s

    def problems(self, point: OperatingPoint) -> Sequence[Problem]:
        """See Stage."""
        return [Problem(id=point.target, ask={})] if point.target else []

    def run(self, engine: Engine, graph: Graph | None, point: OperatingPoint, problems: Sequence[Problem],
            done: Collection[tuple[str, int]]) -> Generator[Answered, None, None]:
        """Builds in limited children. A flow that kernels cannot say is an answer; a missing library, or a folder that cannot
        be written, is not."""
        if graph is None:
            return
        for problem in problems:
            if (problem.id, 0) not in done:
                started = time.perf_counter()
                data = self._built(graph, point, problem.id)
                yield Answered(problem=problem.id, seconds=time.perf_counter() - started, data=data)

    def _built(self, graph: Graph, point: OperatingPoint, target: str) -> Mapping[str, Any]:
        try:
            kernels = kernels_of(graph, point, target, heads=self.settings.kv_heads, kv_dtype=self.settings.kv_dtype)
        except CompileError as error:
            return {"kernels": [], "refused": error.report()}
        except MissingExtra as error:
            raise _of_the_machine(error) from error
        try:
            found, = report_kernels([(target, kernels)], limit_s=self.settings.kernel_s)
        except CompileError as error:
            raise _of_the_machine(error) from error
        kept = ("name", "code", "registers", "spills", "shared", "shared_limit", "vectorised", "time_us", "message")
        return {"kernels": [{name: kernel[name] for name in kept} for kernel in found.to_json()["kernels"]], "refused": ""}

    def grade(self, problem: Problem, answered: Answered, point: OperatingPoint) -> Row:
        """The share of kernels that are as they should be."""
        kernels = answered.data["kernels"]
        good = sum(not self._fault(kernel) for kernel in kernels)
        return Row(stage=NAME, problem=problem.id, score=good / max(1, len(kernels)), exact=float(0 < len(kernels) == good),
                   seconds=answered.seconds, data=answered.data)

    def _fault(self, kernel: Mapping[str, Any]) -> str:
        code: str = kernel["code"]
        return "" if code == "spills" and kernel["spills"] <= self.settings.spilled_bytes else code

    def result(self, rows: Sequence[Row], context: Context) -> StageResult:
        """The gravest fault of any kernel decides, and is told with what to change."""
        if not context.point.target:
            return StageResult(stage=NAME, status=Status.OK, facts={"target": None, "note": "the point names no target"})
        if context.is_dense:
            return StageResult(stage=NAME, status=Status.OK, facts={"target": context.point.target})
        row, = rows
        kernels = row.data["kernels"]
        facts = {"target": row.problem, "kernels": len(kernels),
                 "registers": max((kernel["registers"] for kernel in kernels), default=0),
                 "spills": sum(kernel["spills"] for kernel in kernels),
                 "shared": max((kernel["shared"] for kernel in kernels), default=0)}
        if row.data["refused"]:
            return StageResult(stage=NAME, status=Status.COMPILE, code="error", message=row.data["refused"], facts=facts)
        faults = [(CODES.index(code), kernel) for kernel in kernels if (code := self._fault(kernel))]
        if not faults:
            return StageResult(stage=NAME, status=Status.OK, facts=facts)
        at, worst = min(faults, key=lambda fault: fault[0])
        return StageResult(stage=NAME, status=Status.COMPILE, code=CODES[at], facts=facts,
                           message=f"{worst['message']}. {hint(CODES[at], worst['name'])}")


def _of_the_machine(error: VortexError) -> JobError:
    return JobError(Status.INFRASTRUCTURE, error.code, error.report())


def make(settings: Mapping[str, Any]) -> CompileStage:
    """Raises CampaignError."""
    return CompileStage(read_settings(NAME, CompileSettings, settings))
