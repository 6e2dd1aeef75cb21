"""The exams of a campaign: the stage that each is, and the seed of its problems, which follows from the campaign's secret."""
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from agent.tables import StageTable
from evaluator import statistics
from evaluator.stage import Stage
from evaluator.stages import confirm as confirming
from evaluator.stages import make_stage
from evaluator.stages.accuracy import AccuracyStage
from evaluator.stages.audit import AuditStage
from evaluator.stages.confirm import REPEATED, ConfirmStage
from evaluator.tasks.parts import Part, seed_for
from vortex.errors import CampaignError

CONFIRM: Part = "confirm"
SEALED: Part = "sealed"
RACE = "race"                         # ends a stage early: an exam is measured to its end
GATING = ("gate", RACE)               # controls are not turned away


def exam(stages: Sequence[StageTable], part: Part, secret: int) -> ConfirmStage:
    """The exam on one set of problems; with the usual settings where the campaign names no confirm stage.

    Raises CampaignError where the campaign has nothing that can be repeated.
    """
    own = next((spec.settings for spec in stages if spec.name == confirming.NAME), {})
    settings = confirming.make(own).settings
    wanted = settings.stages or tuple(spec.name for spec in stages if spec.name in REPEATED)
    for name in wanted:
        if name not in REPEATED or name not in (spec.name for spec in stages):
            raise CampaignError(f"stage {confirming.NAME} cannot repeat {name!r}",
                                hint=f"It repeats stages of the campaign that measure: {', '.join(REPEATED)}.")
    accurate = any(name in statistics.ACCURACY_STAGES for name in wanted)
    if not accurate or statistics.SPEED_STAGE not in wanted:
        raise CampaignError(f"stage {confirming.NAME} needs accuracy and speed to repeat",
                            hint=f"Add a [[stage]] speed and one of {', '.join(statistics.ACCURACY_STAGES)}.")
    seed = seed_for(part, _drawn(secret, part))
    inner = tuple(_inner(spec, settings, seed) for spec in stages if spec.name in wanted)
    return ConfirmStage(settings=settings, inner=inner, name=part)


def audited(stage: Stage, secret: int) -> Stage:
    """An audit's prompts come from the secret too; of data sets that are divided they are the search's."""
    return stage.seeded(seed_for("search", _drawn(secret, "search"))) if isinstance(stage, AuditStage) else stage


def check_exam(stages: Sequence[StageTable]) -> None:
    """Raises CampaignError for a confirm stage that is not the last, or that has nothing to repeat."""
    names = [spec.name for spec in stages]
    if confirming.NAME in names:
        if names[-1] != confirming.NAME:
            raise CampaignError(f"stage {confirming.NAME} is not the last", hint="Put its table behind all others.")
        exam(stages, CONFIRM, 0)


def _inner(spec: StageTable, settings: confirming.ConfirmSettings, seed: int) -> Stage:
    own: Mapping[str, Any] = {name: value for name, value in spec.settings.items() if name != RACE}
    if spec.name == statistics.SPEED_STAGE:
        return make_stage(spec.name, {**own, "repeats": settings.repeats})
    stage = make_stage(spec.name, {**own, "samples": settings.samples})
    assert isinstance(stage, AccuracyStage), spec.name
    return stage.seeded(seed)


def _drawn(secret: int, part: Part) -> int:
    """32 bits of the secret for each part, so that one tells nothing of the other."""
    digest = hashlib.blake2b(part.encode(), key=secret.to_bytes(8, "little"), digest_size=4).digest()
    return int.from_bytes(digest, "little")
