"""A Runner around another that looks after our own files, here and where the work is done, before and after each stage."""
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass

from evaluator.cluster import Runner
from evaluator.guard.harness import Harness, HarnessChanged, harness
from evaluator.report import Row, StageResult, Status
from evaluator.stage import Answered, Context, Problem, Stage
from evaluator.worker import JobError
from vortex.config import OperatingPoint
from vortex.errors import EngineError
from vortex.ir import Graph
from vortex.serving.engine import Engine

CHANGED, OTHER = "harness-changed", "other-version"


class Guarded:
    """Raises HarnessChanged from a stream where files of the platform changed: the run ends, no candidate is blamed."""

    def __init__(self, inner: Runner, files: Harness | None = None) -> None:
        self._inner = inner
        self._files = files or harness()

    @property
    def slots(self) -> int:
        return self._inner.slots

    def stream(self, stage: Stage, graph: Graph | None, point: OperatingPoint, problems: Sequence[Problem],
               done: Collection[tuple[str, int]], timeout_s: float) -> Generator[Answered, None, None]:
        """See Runner."""
        self._files.check()
        try:
            yield from self._inner.stream(Watched(stage, self._files.fingerprint), graph, point, problems, done, timeout_s)
        except JobError as fault:
            if fault.code == CHANGED:
                raise HarnessChanged(fault.message.split("\n"), "a worker") from fault
            if fault.code == OTHER:
                raise EngineError(fault.message, hint="Install the same version on every node, then resume.") from fault
            raise
        finally:
            self._files.check()


@dataclass(frozen=True)
class Watched:
    """A stage on its way to a worker: runs it if the worker's files are the driver's, and reads them all again afterwards."""

    stage: Stage
    fingerprint: str

    @property
    def name(self) -> str:
        return self.stage.name

    @property
    def timeout_s(self) -> float:
        return self.stage.timeout_s

    def run(self, engine: Engine, graph: Graph | None, point: OperatingPoint, problems: Sequence[Problem],
            done: Collection[tuple[str, int]]) -> Generator[Answered, None, None]:
        """Worker: see Stage. Raises JobError."""
        files = harness()
        if files.fingerprint != self.fingerprint:
            raise JobError(Status.INFRASTRUCTURE, OTHER, "a worker's files of the platform are not the driver's")
        self._check(files, thorough=False)
        yield from self.stage.run(engine, graph, point, problems, done)
        self._check(files, thorough=True)

    def _check(self, files: Harness, *, thorough: bool) -> None:
        changed = files.changed(thorough=thorough)
        if changed:
            raise JobError(Status.INFRASTRUCTURE, CHANGED, "\n".join(changed))

    # The rest is the driver's and is not asked of what travels.

    def problems(self, point: OperatingPoint) -> Sequence[Problem]:
        """See Stage."""
        return self.stage.problems(point)

    def skip(self, context: Context) -> str:
        """See Stage."""
        return self.stage.skip(context)

    def grade(self, problem: Problem, answered: Answered, point: OperatingPoint) -> Row:
        """See Stage."""
        return self.stage.grade(problem, answered, point)

    def result(self, rows: Sequence[Row], context: Context) -> StageResult:
        """See Stage."""
        return self.stage.result(rows, context)

    def hopeless(self, rows: Sequence[Row], context: Context) -> bool:
        """See Stage."""
        return self.stage.hopeless(rows, context)

    def sizes(self, point: OperatingPoint) -> Mapping[str, int]:
        """See Stage."""
        return self.stage.sizes(point)
