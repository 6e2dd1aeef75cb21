"""Numerics: the blocks an engine took over a short mixed batch, against the reference on each request's own K and V."""
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from evaluator.report import Row, StageResult, Status
from evaluator.stage import Answered, Context, Problem, Usual
from evaluator.stages import agreement
from evaluator.stages.settings import StageSettings, read_settings
from evaluator.tasks.parts import RANGE
from evaluator.tasks.registry import preset
from vortex.budget import budget
from vortex.config import OperatingPoint
from vortex.ir import Graph
from vortex.serving.engine import Engine

NAME = "numerics"
_TEXT = preset("multikey-2k-half")
_WORDS_MAX = 1900


class NumericsSettings(StageSettings):
    """`tolerance`: K, V and state that are off by about this share may exchange blocks (see rounding.py); under the
    rounding of the point's dtype it is that."""

    tolerance: Annotated[float, Field(ge=0)] = 1e-4
    seed: Annotated[int, Field(ge=0, lt=RANGE)] = 40_000


@dataclass(frozen=True)
class NumericsStage(Usual):
    """One problem a prompt; its score is the share of (step, layer, kv head) whose blocks the reference confirms."""

    settings: NumericsSettings
    name: str = NAME

    @property
    def timeout_s(self) -> float:
        return self.settings.timeout_s

    def problems(self, point: OperatingPoint) -> Sequence[Problem]:
        """Prompts that end below, at and above the budget, with open and with full last blocks; two share a prefix."""
        found = []
        for index, length in enumerate(lengths(point)):
            sample = _TEXT.samples(self.settings.seed + index // 2, 1)[0]
            ask = {"prompt": sample.prompt, "length": length, "steps": point.block_size + 2}
            found.append(Problem(id=f"length/{length}", ask=ask))
        return found

    def skip(self, context: Context) -> str:
        """See Stage."""
        return agreement.nothing_to_compare(context)

    def run(self, engine: Engine, graph: Graph | None, point: OperatingPoint, problems: Sequence[Problem],
            done: Collection[tuple[str, int]]) -> Generator[Answered, None, None]:
        """The batch is served whole, whatever is done."""
        if graph is None:
            return
        from evaluator.stages.compare import compare  # on the worker: it needs torch

        yield from (answered for answered in compare(engine, graph, point, problems, self.settings.tolerance)
                    if (answered.problem, 0) not in done)

    def grade(self, problem: Problem, answered: Answered, point: OperatingPoint) -> Row:
        """See Stage."""
        share = agreement.share(answered.data)
        return Row(stage=NAME, problem=problem.id, score=share, exact=float(share == 1), seconds=answered.seconds,
                   data=answered.data)

    def result(self, rows: Sequence[Row], context: Context) -> StageResult:
        """One disagreement is one too many."""
        code, message = agreement.fault(rows)
        return StageResult(stage=NAME, status=Status.NUMERICS if code else Status.OK, code=code, message=message,
                           facts=agreement.counts(rows))


def lengths(point: OperatingPoint) -> list[int]:
    """Prompt lengths in tokens: as many blocks as fit, fewer, more, and many more, with every kind of last block."""
    size = point.block_size
    most = max(1, _WORDS_MAX // size)
    fit = max((n for n in range(1, most + 1) if budget(n, point) >= n), default=1)
    blocks = {1, max(1, fit - 1), fit, fit + 1, fit + 2, 2 * fit + 3, 24, 48}
    wanted = [min(n, most) for n in sorted(blocks)]
    ends = (0, 1 - size, -(size // 2), -1)                      # a full last block, one token, half, one short
    found = {max(2, n * size + ends[i % len(ends)]) for i, n in enumerate(wanted)}
    return sorted(found)


def make(settings: Mapping[str, Any]) -> NumericsStage:
    """Raises CampaignError."""
    return NumericsStage(read_settings(NAME, NumericsSettings, settings))
