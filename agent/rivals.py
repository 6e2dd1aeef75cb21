"""What candidates of a round compete with: fixed when the round begins, so that nothing depends on who is judged first."""
from collections.abc import Iterable

from evaluator.stage import Rival
from search.candidate import Candidate, Entry
from search.frontier import Place, frontier

BLIND = ("random", "mass", "everything")


def is_blind(candidate: Candidate) -> bool:
    """Whether it is a control that no server could run, or that looks at no key: a yardstick, not an algorithm."""
    graph = candidate.flow.graph
    return graph is not None and any(node.op in BLIND for node in graph.indexer)


def rivals(entries: Iterable[Entry]) -> tuple[Rival, ...]:
    """Dense, the controls that are algorithms, what is on the frontier and what was confirmed; in the order of their ids."""
    found = {entry.candidate.id: entry for entry in entries}
    known = frontier(found.values())
    standing = [found[one.candidate.id] for one in known.standings
                if one.place is Place.BEST or one.candidate.tier == "confirmed"
                or (one.place is Place.CONTROL and not is_blind(one.candidate))]
    return tuple(Rival(id=one.candidate.id, name=one.candidate.name, tier=one.candidate.tier, rows=one.by_stage)
                 for one in sorted(standing, key=lambda one: one.candidate.id))
