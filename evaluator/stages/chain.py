"""Reasoning: derivations of hundreds of generated tokens, scored by the share of steps before the first mistake."""
from collections.abc import Mapping
from typing import Any

from evaluator.stages.accuracy import AccuracySettings, AccuracyStage, Tasks, make_accuracy
from evaluator.stages.settings import read_settings
from evaluator.tasks.registry import REASONING_PRESETS

NAME = "chain"


class ChainSettings(AccuracySettings):
    tasks: Tasks = REASONING_PRESETS


def make(settings: Mapping[str, Any]) -> AccuracyStage:
    """Raises CampaignError."""
    return make_accuracy(NAME, read_settings(NAME, ChainSettings, settings))
