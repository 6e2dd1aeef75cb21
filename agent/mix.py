"""Who proposes: the proposers of a campaign by label, how a round is shared among them, and who has to leave."""
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from agent.tables import ProposerTable
from evaluator.report import Status
from search.candidate import Entry
from vortex.errors import BudgetSpent, CallError, KeyRefused, MissingKey, ScriptEnded, UnknownLanguageModel, Unpriced

STRIKES = 3                           # rounds in a row that end in the same error
REPEATS = 8                           # candidates in a row that were known already, or refused in the same words
FINAL = (BudgetSpent, KeyRefused, MissingKey, ScriptEnded, UnknownLanguageModel, Unpriced)


@dataclass(frozen=True)
class Seat:
    """One [[proposer]] of a campaign; `label` is its author name and its name in the ledger."""

    index: int
    label: str
    spec: ProposerTable

    def weight(self, after_plateau: bool) -> float:
        later = self.spec.after_plateau
        return later if after_plateau and later is not None else self.spec.weight


def seats(specs: Sequence[ProposerTable]) -> tuple[Seat, ...]:
    """The kind tells a proposer; where a kind stands twice, its model as well; where that is the same, its number."""
    kinds = [spec.kind for spec in specs]
    names = [spec.kind if kinds.count(spec.kind) == 1 or not spec.model else f"{spec.kind} {spec.model}" for spec in specs]
    labels = [name if names.count(name) == 1 else f"{name} {1 + names[:i].count(name)}" for i, name in enumerate(names)]
    return tuple(Seat(i, label, spec) for i, (label, spec) in enumerate(zip(labels, specs, strict=True)))


def shares(among: Sequence[Seat], count: int, rng: Random, after_plateau: bool) -> list[tuple[Seat, int]]:
    """How many of `count` each may propose: its weight's share, the rest by chance; those that get none are left out."""
    weights = [seat.weight(after_plateau) for seat in among]
    ends = list(accumulate(weights if any(weights) else [1.0] * len(among)))
    draws = [rng.random() for _ in range(count)]      # one a proposal, so that what is drawn next does not depend on the mix
    places = [bisect(ends, (draws[0] + i) / count * ends[-1], hi=len(ends) - 1) for i in range(count)]
    return [(seat, places.count(i)) for i, seat in enumerate(among) if i in places]


def is_final(error: CallError) -> bool:
    """Whether asking again in the next round is in vain."""
    return isinstance(error, FINAL)


def in_vain(entries: Sequence[Entry], author: str) -> str:
    """Why an author's last candidates show that it has nothing more to say; empty where they do not."""
    own = sorted((e for e in entries if e.candidate.author == author), key=lambda e: (e.candidate.round, e.candidate.slot))
    last = own[-REPEATS:]
    if len(last) < REPEATS:
        return ""
    if all(entry.candidate.status is Status.DUPLICATE for entry in last):
        return f"its last {REPEATS} ideas were known already"
    refusals = {(result.code, result.message) for entry in last for result in entry.report.results[-1:] if result.code}
    if len(refusals) == 1 and all(e.candidate.status is Status.REJECTED or not e.candidate.flow.graph_json for e in last):
        return f"its last {REPEATS} ideas were refused in the same words: {refusals.pop()[0]}"
    return ""
