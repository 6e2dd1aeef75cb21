"""What the stages of a campaign resolve, told before they are bought: `resolves  retrieval .18  chain at most .32`."""
from collections.abc import Sequence
from contextlib import closing

from agent.campaign import Campaign
from agent.estimate_past import Past
from agent.estimate_power import Resolves, resolves
from search.store.archive import open_archive

NEWEST = 8                            # campaigns of the archive that are asked for rows of dense decode and of controls


class Sight:
    """Looks again when rows may have come: `place` is the archive."""

    def __init__(self, campaign: Campaign, place: str) -> None:
        self._campaign = campaign
        self._place = place
        self._told: tuple[Resolves, ...] = ()

    def news(self) -> tuple[Resolves, ...]:
        """What can be resolved, by the rows that are there now; nothing where that was told before."""
        with closing(open_archive(self._place, create=False)) as archive:
            found = resolves(self._campaign, Past.of(archive, self._campaign.point, NEWEST))
        if found == self._told:
            return ()
        self._told = found
        return found


def sight_text(found: Sequence[Resolves]) -> str:
    """On one line."""
    return "resolves" + "".join(f"  {one.stage} {'at most ' * one.at_most}{_bare(one.difference)}" for one in found)


def _bare(value: float) -> str:
    return f"{value:.2f}".removeprefix("0")
