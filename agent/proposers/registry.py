"""Proposers by the kind that a campaign file names."""
import difflib
from collections.abc import Callable, Mapping
from typing import Any

from agent.proposers.base import Proposer
from agent.proposers.evolve import make_evolver
from vortex.errors import CampaignError

PROPOSERS: dict[str, Callable[[Mapping[str, Any]], Proposer]] = {"evolve": make_evolver}


def make_proposer(kind: str, settings: Mapping[str, Any]) -> Proposer:
    """Raises CampaignError for a kind that there is none of, or a setting that it does not take."""
    if kind not in PROPOSERS:
        near = difflib.get_close_matches(kind, PROPOSERS, n=1)
        nearest = f"Did you mean {near[0]!r}? " if near else ""
        raise CampaignError(f"there is no proposer {kind!r}", hint=f"{nearest}Kinds: {', '.join(PROPOSERS)}.")
    return PROPOSERS[kind](settings)
