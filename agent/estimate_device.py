"""What a campaign's stages will cost: device-hours, money, wall time, and the smallest effect that they can resolve.

Seconds of a stage come from rows of an archive, where the same model was measured on the same engine; else from a roofline,
of a GPU or of one assumed CPU core, with every answer as long as allowed. How many candidates reach a stage comes from what
became of earlier ones, else from ASSUMED_PASS.
"""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from agent.campaign import Campaign
from agent.exams import CONFIRM, exam
from evaluator import statistics
from evaluator.report import Row
from evaluator.stage import Stage
from evaluator.stages import make_stage
from evaluator.stages.accuracy import AccuracyStage
from evaluator.stages.confirm import ConfirmStage
from evaluator.stages.speed import SpeedStage
from evaluator.statistics.confirm import level_of
from search.candidate import Entry
from search.store.archive import Archive
from vortex.compiler.chips import Chip, find_chip
from vortex.compiler.roofline import REALISTIC, Roofline
from vortex.config import OperatingPoint

ASSUMED_PASS = {"static": 0.9, "compile": 0.95, "traces": 0.6, "retrieval": 0.6, "chain": 0.8, "reasoning": 0.8}
ASSUMED_CONFIRMED = 0.15              # of those that come so far stand a chance to be on the frontier
LETTERS_A_TOKEN = 3.5
PREFILL_SHARE = 0.4                   # of a chip's rate of products that a prefill reaches
CPU = Chip(name="one CPU core", arch="", bandwidth=10e9, product_rate=30e9, operation_rate=15e9, memory_bytes=16 * 10**9,
           sms=1, l2_bytes=0, source="assumed")
SMALL_S = 5.0                         # of a stage that checks: numerics, audit, compile, traces


@dataclass(frozen=True, kw_only=True)
class StageCost:
    """`seconds` of one candidate on one device; `reach` the share of candidates that come so far; `resolves` the smallest
    difference of accuracies seen with probability 0.8, None where it measures none."""

    stage: str
    rows: int
    seconds: float
    reach: float
    candidates: float
    hours: float
    seconds_from: str
    reach_from: str
    resolves: float | None = None


@dataclass(frozen=True, kw_only=True)
class DeviceEstimate:
    """`wall_hours` on all workers, without what proposers take. `ends_early`: more than the campaign's minutes."""

    lines: tuple[StageCost, ...]
    hours: float
    wall_hours: float
    workers: int
    dollars: float | None
    ends_early: bool


@dataclass(frozen=True, kw_only=True)
class Past:
    """What an archive tells of the model of a campaign: seconds a row and dense decode's rows, by stage, and what passed."""

    row_s: Mapping[str, float]
    dense: Mapping[str, Sequence[Row]]
    passed: Mapping[str, float]
    candidates: int

    @staticmethod
    def of(archive: Archive | None, point: OperatingPoint) -> "Past":
        """Of every campaign of the archive on this model and engine; without an archive nothing is known."""
        known = () if archive is None else [
            one for campaign in archive.campaigns() for one in archive.entries(campaign.name)
            if (one.candidate.point.model, one.candidate.point.engine) == (point.model, point.engine)]
        return _past(known)


def _past(entries: Sequence[Entry]) -> Past:
    seconds: dict[str, list[float]] = {}
    came: dict[str, int] = {}
    went: dict[str, int] = {}
    for entry in entries:
        for stage, rows in entry.by_stage.items():
            seconds.setdefault(stage, []).append(sum(row.seconds for row in rows) / len(rows))
        if entry.candidate.tier != "control":
            for result in entry.report.results:
                came[result.stage] = came.get(result.stage, 0) + 1
                went[result.stage] = went.get(result.stage, 0) + (result.status.value == "ok")
    dense = next((entry.by_stage for entry in entries if entry.candidate.is_dense), {})
    return Past(row_s={stage: median(found) for stage, found in seconds.items()}, dense=dense,
                passed={stage: went[stage] / count for stage, count in came.items()}, candidates=max(came.values(), default=0))


def estimate_device(campaign: Campaign, past: Past, *, gpu: str | None = None, workers: int = 1,
                    per_hour: float | None = None) -> DeviceEstimate:
    """Raises PointError for a GPU that is not known, ModelError and CampaignError for models and data that cannot be had."""
    chip = find_chip(gpu) if gpu else None
    lines, reach = [], 1.0
    reach_from = "all"
    controls = len({"dense", *campaign.controls})
    for stage in _stages(campaign):
        if stage.name == statistics.CONFIRM_STAGE:
            share = past.passed.get("confirm", ASSUMED_CONFIRMED)
            reach, reach_from = reach * share, "assumed"
        lines.append(_line(stage, campaign, past, chip, reach, reach_from, controls))
        known = stage.name in past.passed
        reach *= past.passed[stage.name] if known else ASSUMED_PASS.get(stage.name, 1.0)
        reach_from = f"{past.candidates} candidates" if known else "assumed"
    hours = sum(line.hours for line in lines)
    wall = hours / workers
    return DeviceEstimate(lines=tuple(lines), hours=hours, wall_hours=wall, workers=workers,
                          dollars=None if per_hour is None else hours * per_hour, ends_early=60 * wall > campaign.minutes)


def _stages(campaign: Campaign) -> list[Stage]:
    """Those of the campaign; confirm with what it repeats."""
    return [exam(campaign.stages, CONFIRM, 0) if spec.name == statistics.CONFIRM_STAGE else make_stage(spec.name, spec.settings)
            for spec in campaign.stages]


def _line(stage: Stage, campaign: Campaign, past: Past, chip: Chip | None, reach: float, reach_from: str,
          controls: int) -> StageCost:
    inner: Sequence[Stage] = getattr(stage, "inner", ()) or (stage,)
    found = [_seconds(one, campaign.point, past, chip) for one in inner]
    seconds = sum(one for one, _, _ in found)
    alpha = level_of(1, stage.settings.alpha) if isinstance(stage, ConfirmStage) else 0.05
    tried = reach * campaign.candidates
    candidates = controls + (min(tried, stage.settings.most) if isinstance(stage, ConfirmStage) else tried)
    return StageCost(stage=stage.name, rows=sum(rows for _, rows, _ in found), seconds=seconds, reach=reach,
                     candidates=candidates, hours=candidates * seconds / 3600, reach_from=reach_from,
                     seconds_from=", ".join(dict.fromkeys(source for _, _, source in found)),
                     resolves=_resolves(inner, campaign.point, past, alpha))


def _resolves(stages: Sequence[Stage], point: OperatingPoint, past: Past, level: float) -> float | None:
    accurate = [stage for stage in stages if isinstance(stage, AccuracyStage)]
    if not accurate:
        return None
    problems = sum(sum(stage.sizes(point).values()) for stage in accurate)
    known = [row for stage in stages for row in past.dense.get(stage.name, ())]
    return statistics.detectable(known or None, problems, min(one.settings.repeats for one in accurate), level=level)


def _seconds(stage: Stage, point: OperatingPoint, past: Past, chip: Chip | None) -> tuple[float, int, str]:
    """Seconds of one candidate on one device, its rows, and what the figure rests on."""
    if isinstance(stage, AccuracyStage):
        rows = sum(stage.sizes(point).values()) * stage.settings.repeats
        at_once = min(stage.settings.chunk, rows)
    elif isinstance(stage, SpeedStage):
        rows, at_once = len(stage.settings.batch) * len(stage.settings.context) * stage.settings.repeats, 1
    else:
        found = stage.problems(point)
        return (SMALL_S if found else 0.0), len(found), "assumed" if found else "arithmetic"
    if stage.name in past.row_s and chip is None:
        return past.row_s[stage.name] * rows / at_once, rows, "past rows"
    roof = _roof(point, chip)
    worked = _answering(stage, point, roof, at_once) if isinstance(stage, AccuracyStage) else _timing(stage, point, roof)
    return worked, rows, f"roofline of {roof.chip.name}"


def _roof(point: OperatingPoint, chip: Chip | None) -> Roofline:
    from vortex.serving.checkpoint import find_checkpoint  # transformers: not for a campaign of past rows

    model = find_checkpoint(point.model, point.engine).shape.sizes(point.model)
    size = 4 if chip is None else 2
    return Roofline(model=model, chip=chip or CPU, assumptions=REALISTIC, kv_itemsize_bytes=size, weight_itemsize_bytes=size)


def _timing(stage: SpeedStage, point: OperatingPoint, roof: Roofline) -> float:
    """A flow is timed beside dense decode: twice dense decode's steps at most."""
    own = stage.settings
    steps = 2 * own.repeats * (own.steps + own.warmup)
    return steps * sum(roof.step_s(None, point, batch, context) for batch in own.batch for context in own.context)


def _answering(stage: AccuracyStage, point: OperatingPoint, roof: Roofline, at_once: int) -> float:
    """Prefills and dense steps of `at_once` answers at a time, each as long as it may be."""
    asked: Sequence[Mapping[str, Any]] = [problem.ask for problem in stage.problems(point)]
    letters = sum(len(ask["prompt"]) for ask in asked)
    context = max(1, int(letters / len(asked) / LETTERS_A_TOKEN))
    prefill = 2 * roof.model.parameters_read(1) * letters / LETTERS_A_TOKEN / (PREFILL_SHARE * roof.chip.product_rate)
    said = sum(ask["max_new_tokens"] for ask in asked)
    return float(stage.settings.repeats * (prefill + said / at_once * roof.step_s(None, point, at_once, context)))
