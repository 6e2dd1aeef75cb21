"""one-shot: asks a model for new ideas, by theme, with what is known of the search at hand but no parent to vary."""
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Annotated, Any

from pydantic import Field

from agent.desk import desk_of
from agent.proposers.asked import ideas, proposal, question
from agent.proposers.base import Proposal, Round
from agent.proposers.settings import AskedSettings, read_settings

KIND = "one-shot"
MOST_HAD = 24                         # earlier ideas that are told, so that the next ones differ
THEMES = (
    "what a page keeps of its keys: other summaries than a mean or an envelope, at the same bytes or fewer",
    "how the query heads of a group come to one ranking of blocks",
    "what the values of a block say about how much it can move the output",
    "which channels matter: the slow and the fast ones of the rotary embedding",
    "how much a step reads: rules that take few blocks where scores are sharp and more where they are flat",
    "state from step to step: what the last steps attended to, and what changes between steps",
    "fewer bytes: summaries of a few bits, or a cheap first pass whose winners are scored again",
    "several summaries a block: sub-blocks, clusters, outliers kept apart",
)


class OneShotSettings(AskedSettings):
    """`theme` may be a list: its texts take turns. `ideas` are asked for in one call."""

    theme: str | list[str] = Field(default_factory=lambda: list(THEMES))
    ideas: Annotated[int, Field(ge=1, le=8)] = 1


@dataclass(frozen=True)
class OneShot:
    """See Proposer. Its ideas must compile: what is refused goes back to the model, and then counts as failed."""

    settings: OneShotSettings
    kind: str = KIND

    def propose(self, round: Round, rng: Random, count: int) -> Iterator[Proposal]:
        desk = desk_of(self.kind, round.desk)
        each, had = self.settings.ideas, [one for one in desk.entries if one.candidate.author == desk.proposer]
        questions = [question(desk, round, self.kind, str(begin // each), count=min(each, count - begin), parents=(),
                              had=had[-MOST_HAD:], theme=self.theme(round.number, begin // each))
                     for begin in range(0, count, each)]
        for idea in ideas(desk, questions, self.settings.repairs):
            yield proposal(idea, desk.proposer)

    def theme(self, number: int, index: int) -> str:
        """Themes take turns within a round and from round to round; a single one is looked at from another side each time."""
        given, turn = self.settings.theme, number - 1 + index
        if isinstance(given, str):
            return f"{given}\nLook at it from this side: {THEMES[turn % len(THEMES)]}" if given and turn else given
        return given[turn % len(given)] if given else ""


def make(settings: Mapping[str, Any]) -> OneShot:
    """Raises CampaignError."""
    return OneShot(read_settings(KIND, settings, OneShotSettings))
