"""What the proposals of a round are: a function of the campaign's seed and of the rows of finished rounds alone."""
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from agent.campaign import Campaign
from agent.prepare import Ready
from agent.proposers.base import Parent, Proposal, Round
from agent.proposers.registry import make_proposer
from search import selection
from search.candidate import Entry
from search.store.archive import Archive

PARENTS = 8
BLIND = ("random", "mass", "everything")


@dataclass(frozen=True)
class Rounds:
    """Nothing of it is kept anywhere: a round that a kill cut short is proposed again, the same."""

    campaign: Campaign
    archive: Archive
    ready: Ready

    def sizes(self) -> Iterator[tuple[int, int]]:
        """(number, how many proposals) of every round that the budget of candidates has room for."""
        left, size = self.campaign.candidates, self.campaign.round_size
        for number in range(1, -(-left // size) + 1):
            yield number, min(size, left - (number - 1) * size)

    def propose(self, number: int, count: int) -> Sequence[Proposal]:
        """At most `count`; fewer when the proposers run out of ideas."""
        rng = Random(f"{self.campaign.seed}/{number}")
        told = self._told(number, rng)
        specs = self.campaign.proposers
        drawn = rng.choices(range(len(specs)), [spec.weight for spec in specs], k=count)
        found: list[Proposal] = []
        for index, spec in enumerate(specs):
            if share := drawn.count(index):
                found.extend(make_proposer(spec.kind, spec.settings).propose(told, rng, share))
        return found

    def _told(self, number: int, rng: Random) -> Round:
        entries = [entry for entry in self.archive.entries(self.campaign.name) if entry.candidate.round < number]
        chosen = selection.choose(entries, number, rng, PARENTS)
        known = frozenset((e.candidate.flow.hash, e.candidate.point.hash) for e in entries)
        return Round(number=number, parents=tuple(_parents(chosen)), seeds=self.ready.seeds, known=known,
                     geometry=self.ready.geometry, point=self.campaign.point, knobs=self.campaign.knobs)


def _parents(entries: Sequence[Entry]) -> Iterator[Parent]:
    """Those that can be built on: not the controls that look at no summary."""
    for entry in entries:
        graph = entry.candidate.flow.graph
        if graph is not None and not any(node.op in BLIND for node in graph.indexer):
            yield Parent(id=entry.candidate.id, name=entry.candidate.name, graph=graph, point=entry.candidate.point,
                         report=entry.report)
