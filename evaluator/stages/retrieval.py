"""The retrieval gate: needles, queries and variables in a long context, scored by the share of values found."""
from collections.abc import Mapping
from typing import Any

from evaluator.stages.accuracy import AccuracySettings, AccuracyStage, Tasks, make_accuracy
from evaluator.stages.settings import read_settings
from evaluator.tasks.registry import RETRIEVAL_PRESETS

NAME = "retrieval"


class RetrievalSettings(AccuracySettings):
    tasks: Tasks = RETRIEVAL_PRESETS


def make(settings: Mapping[str, Any]) -> AccuracyStage:
    """Raises CampaignError."""
    return make_accuracy(NAME, read_settings(NAME, RetrievalSettings, settings))
