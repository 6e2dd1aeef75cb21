"""What the proposals of a round are: a function of the campaign's seed, of the rows of finished rounds, of the notes, and
of what models answered.

Answers are recorded by the caller, and what they came to is written down before the first proposal of a round is judged:
a round that a kill cut short is proposed again, the same, and nothing is paid twice.
"""
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from agent import mix, written
from agent.attendance import Attendance
from agent.campaign import Campaign
from agent.desk import Desk
from agent.mending import mended
from agent.mix import Seat
from agent.plateau import stands_still
from agent.prepare import Ready
from agent.proposers.base import Parent, Proposal, Round
from agent.proposers.registry import make_proposer
from agent.rivals import BLIND
from agent.written import Share
from search import selection
from search.candidate import Entry
from search.store.archive import Archive
from vortex.errors import CallError

PARENTS = 8
TURNS = 2                             # how often one proposer is asked in a round, its own share and that of others


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """`desks`, by label, are those of proposers that ask a model, without what belongs to one round."""

    campaign: Campaign
    archive: Archive
    ready: Ready
    attendance: Attendance
    desks: Mapping[str, Desk] = field(default_factory=dict)

    def sizes(self) -> Iterator[tuple[int, int]]:
        """(number, how many proposals) of every round that the budget of candidates has room for."""
        left, size = self.campaign.candidates, self.campaign.round_size
        for number in range(1, -(-left // size) + 1):
            yield number, min(size, left - (number - 1) * size)

    def propose(self, number: int, count: int) -> Sequence[Proposal]:
        """At most `count`; fewer when the proposers run out of ideas. Raises NobodyLeft, PromptError and Stopped."""
        entries = tuple(entry for entry in self.archive.entries(self.campaign.name) if entry.candidate.round < number)
        rng = Random(f"{self.campaign.seed}/{number}")
        told = told_of(self.campaign, self.ready, entries, number, rng)
        seats, still = self.attendance.seats, self._stands_still(entries, number)
        drawn = mix.shares(seats, count, rng, still)
        before = written.read(self.archive, self.campaign.name, number) if self.desks else None
        if before is not None:
            return self._again(before, told, rng)
        self.attendance.review(entries)
        desks = {label: replace(desk, entries=entries) for label, desk in self.desks.items()}
        shares = replace(self, desks=desks)._shares(drawn, told, rng, still)
        found = [proposal for share in shares for proposal in share.proposals or ()]
        if found and self.desks:
            written.write(self.archive, self.campaign.name, number,
                          [one if one.label in self.desks else replace(one, proposals=None) for one in shares])
        return found

    def _shares(self, drawn: Sequence[tuple[Seat, int]], told: Round, rng: Random, still: bool) -> list[Share]:
        """What each proposer gives; what one owes, because it failed, has left or ran out of ideas, the others give.

        Raises NobodyLeft.
        """
        found: list[Share] = []
        turns, again, wanted = Counter[str](), Random(f"{self.campaign.seed}/{told.number}/again"), list(drawn)
        while wanted:
            missing = sum(self._ask(seat, share, told, rng, turns, found) for seat, share in wanted)
            others = [seat for seat in self.attendance.present() if turns[seat.label] < TURNS]
            wanted = mix.shares(others, missing, again, still) if missing and others else []
        if not any(share.proposals for share in found):
            self.attendance.nothing_came()
        return found

    def _ask(self, seat: Seat, count: int, told: Round, rng: Random, turns: Counter[str], found: list[Share]) -> int:
        """Adds what one proposer gives; how many it owes."""
        if seat not in self.attendance.present():
            return count
        given: list[Proposal] = []
        turns[seat.label] += 1
        try:
            for proposal in self._proposals(seat, told, rng, count, turns[seat.label]):
                given.append(proposal)
        except CallError as error:
            self.attendance.failed(seat, error)
        else:
            self.attendance.succeeded(seat)
            if len(given) < count:    # it has no more ideas in this round
                turns[seat.label] = TURNS
        found.append(Share(seat.label, count, tuple(given[:count])))
        return max(0, count - len(given))

    def _proposals(self, seat: Seat, told: Round, rng: Random, count: int, turn: int = 1) -> Iterator[Proposal]:
        """What is mended of its last round comes first. Raises CallError after what it gives.

        A proposer that asks a model draws by itself: it may be absent next time.
        """
        proposer, desk = make_proposer(seat.spec.kind, seat.spec.settings), self.desks.get(seat.label)
        if desk is not None:
            key = f"round {told.number}/{seat.label}" + (f" again {turn}" if turn > 1 else "")
            told = replace(told, desk=replace(desk, key=key))
            rng = Random(f"{self.campaign.seed}/{key}")
            if turn == 1 and seat.spec.settings.get("repairs", 1):
                for proposal in mended(replace(desk, key=key), told.number, count):
                    count -= 1
                    yield proposal
        for proposal in proposer.propose(told, rng, count) if count else ():
            yield replace(proposal, author=seat.label)

    def _again(self, shares: Sequence[Share], told: Round, rng: Random) -> list[Proposal]:
        """The proposals of a round of which it is written what models gave to it."""
        by_label = {seat.label: seat for seat in self.attendance.seats}
        found: list[Proposal] = []
        for share in shares:
            given = share.proposals
            found.extend(self._proposals(by_label[share.label], told, rng, share.count) if given is None else given)
        return found

    def _stands_still(self, entries: Sequence[Entry], number: int) -> bool:
        """Whether the weights after a plateau hold."""
        patience = self.campaign.plateau
        if all(spec.after_plateau is None for spec in self.campaign.proposers):
            return False
        still = stands_still(entries, number, patience)
        self.attendance.plateau(number, still, patience)
        return still


def told_of(campaign: Campaign, ready: Ready, entries: Sequence[Entry], number: int, rng: Random) -> Round:
    """What every proposer is told about a round, after `entries` of the rounds before it."""
    chosen = selection.choose(entries, number, rng, PARENTS)
    known = frozenset((e.candidate.flow.hash, e.candidate.point.hash) for e in entries)
    return Round(number=number, parents=tuple(_parents(chosen)), seeds=ready.seeds, known=known,
                 geometry=ready.geometry, point=campaign.point, knobs=campaign.knobs)


def _parents(entries: Sequence[Entry]) -> Iterator[Parent]:
    """Those that can be built on: not the controls that look at no summary."""
    for entry in entries:
        graph = entry.candidate.flow.graph
        if graph is not None and not any(node.op in BLIND for node in graph.indexer):
            yield Parent(id=entry.candidate.id, name=entry.candidate.name, graph=graph, point=entry.candidate.point,
                         report=entry.report)
