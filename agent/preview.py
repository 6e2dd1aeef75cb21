"""What a proposer would ask a model now: the proposer itself is run, up to its first question, which is not put."""
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import cast

from agent.caller import Caller
from agent.campaign import Campaign
from agent.desk import Desk
from agent.loading import Loading
from agent.models.base import Answer, Ask
from agent.prepare import prepare
from agent.prompts import ROUNDS
from agent.proposers.registry import make_proposer
from agent.rounds import told_of
from search.store.archive import Archive
from vortex.errors import CampaignError


class _Heard(Exception):
    """Carries a question out of the proposer that wanted to put it."""

    def __init__(self, key: str, ask: Ask) -> None:
        super().__init__(key)
        self.key = key
        self.question = ask


@dataclass(frozen=True)
class _Listener:
    """Stands where a Caller does, and asks nobody."""

    def ask(self, key: str, ask: Ask) -> Answer:
        raise _Heard(key, ask)


def preview(campaign: Campaign, archive: Archive, kind: str, count: int, folder: Path | None = None) -> tuple[str, Ask]:
    """The key and the question of a proposer of `kind` in the next round. Writes nothing.

    Raises CampaignError for a kind that asks no model, or has nothing to ask yet.
    """
    settings = next((spec.settings for spec in campaign.proposers if spec.kind == kind), {})
    proposer = make_proposer(kind, settings)
    if kind not in ROUNDS:
        raise CampaignError(f"proposer {kind} asks no model", hint=f"Those that do: {', '.join(ROUNDS)}.")
    entries = archive.entries(campaign.name)
    number = 1 + max((entry.candidate.round for entry in entries), default=0)
    rng = Random(f"{campaign.seed}/{number}")
    round = told_of(campaign, prepare(campaign, measures=False), entries, number, rng)
    desk = Desk(campaign=campaign.name, goal=campaign.goal, proposer=kind, key=f"round {number}/{kind}", archive=archive,
                caller=cast(Caller, _Listener()), entries=entries, load=Loading(round.geometry), prompts=folder)
    try:
        for _ in proposer.propose(replace(round, desk=desk), rng, count):
            pass
    except _Heard as heard:
        return heard.key, heard.question
    raise CampaignError(f"{kind} has nothing to ask yet", hint="It builds on measured candidates: run the campaign first.")
