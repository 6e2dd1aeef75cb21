"""What a campaign's stages will cost: device-hours, money, wall time, and the smallest effect that they can resolve.

Seconds of a stage come from rows of an archive, where the same model was measured on the same engine; else from a roofline,
of a GPU or of one assumed CPU core, with every answer as long as allowed. How many candidates reach a stage comes from what
became of earlier ones, else from ASSUMED_PASS.
"""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from agent.campaign import Campaign
from agent.estimate_past import Past
from agent.estimate_power import inner, resolution, stages_of
from evaluator import statistics
from evaluator.stage import Stage
from evaluator.stages.accuracy import AccuracyStage
from evaluator.stages.confirm import ConfirmStage
from evaluator.stages.speed import SpeedStage
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
    difference of accuracies seen with probability 0.8, None where it measures none; `at_most`: rows do not tell it closer."""

    stage: str
    rows: int
    seconds: float
    reach: float
    candidates: float
    hours: float
    seconds_from: str
    reach_from: str
    resolves: float | None = None
    at_most: bool = False


@dataclass(frozen=True, kw_only=True)
class DeviceEstimate:
    """`wall_hours` on all workers, without what proposers take. `ends_early`: more than the campaign's minutes."""

    lines: tuple[StageCost, ...]
    hours: float
    wall_hours: float
    workers: int
    dollars: float | None
    ends_early: bool


def estimate_device(campaign: Campaign, past: Past, *, gpu: str | None = None, workers: int = 1,
                    per_hour: float | None = None) -> DeviceEstimate:
    """Raises PointError for a GPU that is not known, ModelError and CampaignError for models and data that cannot be had."""
    chip = None if gpu is None else find_chip(gpu)
    stages, lines, reach = stages_of(campaign), [], 1.0
    reach_from = "all"
    controls = len({"dense", *campaign.controls}) + _beside(campaign, stages)
    for stage in stages:
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


def _beside(campaign: Campaign, stages: Sequence[Stage]) -> int:
    """Controls, at most, that are judged for an exam at other settings of the knobs than their own: all but dense."""
    exam = next((stage for stage in stages if isinstance(stage, ConfirmStage)), None)
    settings = prod(len(values) for _, values in campaign.knobs) - 1
    return 0 if exam is None else len({*campaign.controls} - {"dense"}) * min(settings, exam.settings.most)


def _line(stage: Stage, campaign: Campaign, past: Past, chip: Chip | None, reach: float, reach_from: str,
          controls: int) -> StageCost:
    found = [_seconds(one, campaign.point, past, chip) for one in inner(stage)]
    seconds, seen = sum(one for one, _, _ in found), resolution(stage, campaign.point, past)
    tried = reach * campaign.candidates
    candidates = controls + (min(tried, stage.settings.most) if isinstance(stage, ConfirmStage) else tried)
    return StageCost(stage=stage.name, rows=sum(rows for _, rows, _ in found), seconds=seconds, reach=reach,
                     candidates=candidates, hours=candidates * seconds / 3600, reach_from=reach_from,
                     seconds_from=", ".join(dict.fromkeys(source for _, _, source in found)),
                     resolves=None if seen is None else seen.difference, at_most=seen is not None and seen.at_most)


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
