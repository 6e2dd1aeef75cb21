"""merge: shows a model two flows of the frontier that do not descend from one another, and asks for one of both."""
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from agent.desk import desk_of
from agent.proposers.asked import ideas, proposal, question
from agent.proposers.base import Parent, Proposal, Round
from agent.proposers.settings import AskedSettings, read_settings
from agent.rivals import BLIND
from search.candidate import Candidate, Entry
from search.frontier import Place, frontier

KIND = "merge"
Pair = tuple[Parent, Parent]


@dataclass(frozen=True)
class Merge:
    """See Proposer. A pair comes once a round; with fewer pairs than asked for there are fewer proposals."""

    settings: AskedSettings
    kind: str = KIND

    def propose(self, round: Round, rng: Random, count: int) -> Iterator[Proposal]:
        desk = desk_of(self.kind, round.desk)
        drawn = pairs(desk.entries)
        chosen = rng.sample(drawn, min(count, len(drawn)))
        questions = [question(desk, round, self.kind, str(index), count=1, parents=pair) for index, pair in enumerate(chosen)]
        for idea in ideas(desk, questions, self.settings.repairs):
            yield proposal(idea, desk.proposer, idea.question.parents)


def pairs(entries: Sequence[Entry]) -> list[Pair]:
    """Pairs of different lineage: both of the frontier where there are such, else one of it and any that was measured."""
    by_id = {entry.candidate.id: entry for entry in entries}
    known = frontier(entries)
    usable = [one for one in known.standings if one.candidate.flow.graph_json and not _blind(one.candidate)]
    best = [one.candidate for one in usable if one.place is Place.BEST]
    others = [one.candidate for one in usable]
    for first, second in ((best, best), (best, others), (others, others)):
        found = {frozenset((a.id, b.id)): (a, b) for a in first for b in second if _apart(a, b, by_id)}
        if found:
            return [(_parent(by_id[a.id]), _parent(by_id[b.id])) for a, b in found.values()]
    return []


def _apart(one: Candidate, other: Candidate, by_id: Mapping[int, Entry]) -> bool:
    return not lineage(one, by_id) & lineage(other, by_id)


def lineage(candidate: Candidate, by_id: Mapping[int, Entry]) -> frozenset[str]:
    """The hashes of a candidate's flow and of its ancestors', and the built-in flow that its name begins with."""
    found, open_ = {candidate.flow.hash, candidate.name.split(" + ")[0]}, list(candidate.parents)
    seen: set[int] = set()
    while open_:
        id = open_.pop()
        if id in by_id and id not in seen:
            seen.add(id)
            found.add(by_id[id].candidate.flow.hash)
            open_.extend(by_id[id].candidate.parents)
    return frozenset(found)


def _blind(candidate: Candidate) -> bool:
    graph = candidate.flow.graph
    return graph is None or any(node.op in BLIND for node in graph.indexer)


def _parent(entry: Entry) -> Parent:
    graph = entry.candidate.flow.graph
    assert graph is not None, entry.candidate.id
    return Parent(id=entry.candidate.id, name=entry.candidate.name, graph=graph, point=entry.candidate.point,
                  report=entry.report)


def make(settings: Mapping[str, Any]) -> Merge:
    """Raises CampaignError."""
    return Merge(read_settings(KIND, settings, AskedSettings))
