"""Proposers by the kind that a campaign file names."""
import difflib
from collections.abc import Callable, Mapping
from typing import Any

from agent.proposers import copies, knobs, merge, one_shot, reflective, scientist
from agent.proposers.base import Proposer
from agent.proposers.evolve import make_evolver
from vortex.errors import CampaignError

PROPOSERS: dict[str, Callable[[Mapping[str, Any]], Proposer]] = {
    "evolve": make_evolver, one_shot.KIND: one_shot.make, reflective.KIND: reflective.make, merge.KIND: merge.make,
    scientist.KIND: scientist.make, knobs.KIND: knobs.make,
    copies.KIND: copies.make,
}
WITHOUT_MODEL = ("evolve", knobs.KIND, copies.KIND)          # those that propose without one; knobs may be given one as well


def make_proposer(kind: str, settings: Mapping[str, Any]) -> Proposer:
    """Raises CampaignError for a kind that there is none of, or a setting that it does not take."""
    if kind not in PROPOSERS:
        near = difflib.get_close_matches(kind, PROPOSERS, n=1)
        nearest = f"Did you mean {near[0]!r}? " if near else ""
        raise CampaignError(f"there is no proposer {kind!r}", hint=f"{nearest}Kinds: {', '.join(PROPOSERS)}.")
    return PROPOSERS[kind](settings)


def check_kind(kind: str, model: str | None) -> None:
    """Raises CampaignError for a proposer that needs a model and is given none, or is given one and takes none."""
    if not model and kind not in WITHOUT_MODEL:
        raise CampaignError(f"proposer {kind} needs a model",
                            hint='For example: model = "claude-sonnet-4-5", or model = "scripted:answers.jsonl".')
    if model and kind in ("evolve", copies.KIND):
        raise CampaignError(f"proposer {kind} asks no model", hint="Leave model out, or choose another kind.")
