"""What a flow's own fault taught: a candidate that a stage could not run goes back to its model once, and takes a place of
the next round."""
from collections.abc import Iterator
from dataclasses import replace

from agent.answers import Found, read
from agent.caller import answer_of
from agent.desk import Desk
from agent.models.base import Ask
from agent.proposers.asked import said
from agent.proposers.base import Proposal
from agent.repair import repaired
from evaluator.report import Status
from search.candidate import Entry
from search.store.calls import CallRecord
from vortex.errors import VortexError

FAULTS = (Status.COMPILE, Status.NUMERICS, Status.CRASH, Status.TIMEOUT, Status.MEMORY)
HINT = "It is a legal flow, and yet that stage could not be passed. Keep the idea, and mend what caused this."


class Fault(VortexError):
    """A stage found a candidate at fault while it ran, compiled or compared it."""


def mended(desk: Desk, number: int, most: int) -> Iterator[Proposal]:
    """At most `most` proposals in the place of the desk's own candidates of the round before that ended by their own fault.

    Each is asked for once, in the conversation that it came from, under "round N/PROPOSER/mend SLOT"; what is a repair
    already is left as it is, and so is a flow that the model answers unchanged. Raises CallError after those before it.
    """
    for entry in _faulty(desk, number - 1)[:most]:
        desk.check()
        if (proposal := _mended(desk, entry)) is not None:
            yield proposal


def _faulty(desk: Desk, number: int) -> list[Entry]:
    """By slot. An exam's fault is none here: entries know of no exam."""
    known = {entry.candidate.id: entry for entry in desk.entries}

    def is_repair(entry: Entry) -> bool:
        parents = (known[id] for id in entry.candidate.parents if id in known)
        return any(_at_fault(parent) and parent.candidate.author == desk.proposer for parent in parents)

    return [entry for entry in sorted(desk.entries, key=lambda entry: entry.candidate.slot)
            if entry.candidate.round == number and entry.candidate.author == desk.proposer
            and _at_fault(entry) and not is_repair(entry)]


def _at_fault(entry: Entry) -> bool:
    """A text that is no flow was sent back while it was proposed."""
    return entry.report.status in FAULTS and entry.candidate.flow.graph_json is not None


def _said(desk: Desk, entry: Entry) -> tuple[CallRecord, Found] | None:
    """The last call whose answer holds the candidate's text, and that text; None where no answer does, as with a draft."""
    one = entry.candidate
    for call in reversed(desk.caller.ledger.answers(desk.proposer, f"round {one.round}/")):
        for found in read(answer_of(call)).found:
            if found.source == one.flow.source:
                return call, replace(found, parameters=one.flow.graph.parameters if one.flow.graph else ())
    return None


def _mended(desk: Desk, entry: Entry) -> Proposal | None:
    one, result, told = entry.candidate, entry.report.results[-1], _said(desk, entry)
    if told is None:
        return None
    fault = Fault(f"{result.stage} ended with {result.status} ({result.code})\n{result.message}", hint=HINT)
    end = repaired(desk.caller, Ask.from_json(told[0].ask), answer_of(told[0]), fault, f"{desk.key}/mend {one.slot}", 1,
                   check=lambda found: desk.load(found.source, f"<{found.name}>", found.parameters)[1], found=told[1])
    found = end.found or told[1]
    if found.source == told[1].source:
        return None
    return Proposal(name=found.name, source=found.source, point=one.point, author=desk.proposer, parents=(one.id,),
                    hypothesis=said(found.hypothesis), claim=found.hypothesis, parameters=found.parameters, refusal=end.refusal)
