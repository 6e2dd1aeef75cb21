"""Whether a flow at a point was tried already in a campaign."""
from typing import Protocol

from search.candidate import Candidate, Draft


class Tried(Protocol):
    """The archive, as far as novelty asks it."""

    def find_hash(self, campaign: str, graph_hash: str, point_hash: str) -> Candidate | None: ...


def earlier(archive: Tried, draft: Draft) -> Candidate | None:
    """The candidate of the same meaning at the same point that came before; None when it is new.

    Names, comments and the order of writing do not make a flow new: Graphs are compared by their canonical hash, and
    texts that are not legal flows by their letters.
    """
    found = archive.find_hash(draft.campaign, draft.flow.hash, draft.point.hash)
    return None if found is None or (found.round, found.slot) >= (draft.round, draft.slot) else found
