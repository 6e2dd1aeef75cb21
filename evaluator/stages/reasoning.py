"""Reasoning: long answers to problems of mathematics and the like, each asked many times, scored as right or wrong.

A single pass over thirty problems tells nothing under some fifteen points: accuracy is the mean over `repeats` answers.
"""
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from evaluator.stages.accuracy import AccuracySettings, AccuracyStage, Count, make_accuracy
from evaluator.stages.settings import read_settings
from vortex.errors import CampaignError

NAME = "reasoning"


class ReasoningSettings(AccuracySettings):
    """There is no default task. Sampling is what models that think are made for; greedy decode sends them in circles."""

    timeout_s: Annotated[float, Field(gt=0)] = 6 * 3600.0
    samples: Count = 500
    repeats: Count = 16
    temperature: Annotated[float, Field(ge=0)] = 0.6
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    top_k: Annotated[int, Field(ge=0)] = 20
    max_new_tokens: Count | None = 32_768
    caps: tuple[Count, ...] = (16_384, 32_768)
    chunk: Count = 64


def make(settings: Mapping[str, Any]) -> AccuracyStage:
    """Raises CampaignError."""
    if not settings.get("tasks"):
        raise CampaignError(f"stage {NAME} has no tasks, and there is no default one",
                            hint='Name some: tasks = ["math:aime25", "math:amc23"], or file:PATH (`vortex tasks` lists all).')
    return make_accuracy(NAME, read_settings(NAME, ReasoningSettings, settings))
