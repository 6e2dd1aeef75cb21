"""The smallest effect that the stages of a campaign can resolve, from rows of dense decode and of controls that are at hand."""
from collections.abc import Sequence
from dataclasses import dataclass

from agent.campaign import Campaign
from agent.estimate_past import Past
from agent.exams import CONFIRM, exam
from evaluator import statistics
from evaluator.stage import Stage
from evaluator.stages import make_stage
from evaluator.stages.accuracy import AccuracyStage
from evaluator.stages.confirm import ConfirmStage
from evaluator.statistics.confirm import level_of
from vortex.config import OperatingPoint


@dataclass(frozen=True, kw_only=True)
class Resolves:
    """The smallest difference of accuracies that a stage, or the `exam`, tells from nothing with probability 0.8."""

    stage: str
    difference: float
    at_most: bool


def resolves(campaign: Campaign, past: Past) -> tuple[Resolves, ...]:
    """What the stages that measure accuracy can see. Raises CampaignError for data that cannot be had."""
    found = (resolution(stage, campaign.point, past) for stage in stages_of(campaign))
    return tuple(one for one in found if one is not None)


def stages_of(campaign: Campaign) -> list[Stage]:
    """Those of the campaign; confirm with what it repeats."""
    return [exam(campaign.stages, CONFIRM, 0) if spec.name == statistics.CONFIRM_STAGE else make_stage(spec.name, spec.settings)
            for spec in campaign.stages]


def resolution(stage: Stage, point: OperatingPoint, past: Past) -> Resolves | None:
    """Of one candidate against dense decode, from rows of the same tasks; None where no accuracy is measured."""
    accurate = [one for one in inner(stage) if isinstance(one, AccuracyStage)]
    if not accurate:
        return None
    sizes = {task: count for one in accurate for task, count in one.sizes(point).items()}
    known, *others = [[row for one in accurate for row in rows.get(one.name, ()) if statistics.task_of(row) in sizes]
                      for rows in (past.dense, *past.algorithms)]
    level = level_of(1, stage.settings.alpha) if isinstance(stage, ConfirmStage) else 0.05
    found = statistics.detectable(known or None, sum(sizes.values()), min(one.settings.repeats for one in accurate),
                                  others=others, level=level)
    return Resolves(stage="exam" if isinstance(stage, ConfirmStage) else stage.name, difference=found,
                    at_most=statistics.is_bound(known or None, others))


def inner(stage: Stage) -> Sequence[Stage]:
    return getattr(stage, "inner", ()) or (stage,)
