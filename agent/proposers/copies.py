"""copies: the same flow again and again, to see what a campaign makes of candidates that do not differ."""
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from pydantic import BaseModel, ConfigDict

from agent.proposers.base import Proposal, Round
from agent.proposers.settings import read_settings
from vortex import flows

KIND = "copies"


class CopiesSettings(BaseModel):
    """`flow` is a built-in one's name, or a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    flow: str = "quest"


@dataclass(frozen=True)
class Copies:
    """See Proposer. Wants [campaign] duplicates = "measure": without it only the first copy is run."""

    settings: CopiesSettings
    kind: str = KIND

    def propose(self, round: Round, rng: Random, count: int) -> Iterator[Proposal]:
        name, text, _ = flows.read(self.settings.flow)
        for number in range(count):
            yield Proposal(name=f"{name} copy {round.number}.{number + 1}", source=text, point=round.point,
                           hypothesis="a copy differs by luck alone", author=self.kind)


def make(settings: Mapping[str, Any]) -> Copies:
    """Raises CampaignError for an unknown setting, FlowNotFound for an unknown flow."""
    found = Copies(read_settings(KIND, settings, CopiesSettings))
    flows.read(found.settings.flow)
    return found
