"""All stages by name. A stage is made from the settings of its table in the campaign file."""
from collections.abc import Mapping
from typing import Any

from evaluator.nearest import nearest
from evaluator.stage import Stage, StageFactory
from evaluator.stages import audit, chain, compile, confirm, numerics, reasoning, retrieval, speed, static, traces
from vortex.errors import CampaignError

STAGES: Mapping[str, StageFactory] = {
    module.NAME: module.make for module in (static, compile, numerics, traces, audit, retrieval, chain, reasoning, speed, confirm)
}


def make_stage(name: str, settings: Mapping[str, Any]) -> Stage:
    """Raises CampaignError for an unknown stage or setting (the hint names the nearest), or a value that cannot be."""
    if name not in STAGES:
        raise CampaignError(f"there is no stage {name}", hint=nearest(name, STAGES))
    return STAGES[name](settings)
