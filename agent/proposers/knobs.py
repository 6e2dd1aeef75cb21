"""knobs: flows that are known at other settings of the campaign's knobs; a model chooses them, or a sweep without one."""
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from random import Random
from typing import Any

from agent.claim_text import json_objects
from agent.desk import Desk
from agent.fences import blocks
from agent.models.base import Answer, Text
from agent.proposers.asked import Question, answers, question
from agent.proposers.base import Parent, Proposal, Round
from agent.proposers.evolve import slug
from agent.proposers.settings import AskedSettings, read_settings
from vortex.compiler.identity.form import identity
from vortex.config import OperatingPoint
from vortex.errors import CallError, PointError
from vortex.language.source import to_source

KIND = "knobs"
ASKED = """

Do not write flows now. Choose settings of the knobs at which flows that are known may fill a gap of the frontier.
Untried settings, one a line:
{open}
Answer with one fenced json block: a list of at most {count} objects, each with "flow" (the number before the colon),
the knobs by name, and "mechanism": one sentence that says why."""


@dataclass(frozen=True)
class Turn:
    """A parent at settings that were not tried."""

    parent: Parent
    settings: tuple[tuple[str, Any], ...]
    why: str = ""

    @property
    def point(self) -> OperatingPoint:
        return self.parent.point.with_(**dict(self.settings))

    @property
    def text(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.settings)


@dataclass(frozen=True)
class Knobs:
    """See Proposer. Proposes no new flow, so that structure and settings are told apart."""

    settings: AskedSettings
    kind: str = KIND

    def propose(self, round: Round, rng: Random, count: int) -> Iterator[Proposal]:
        turns = untried(round)
        if round.desk is None:
            rng.shuffle(turns)
            yield from (_proposal(turn, round, self.kind) for turn in turns[:count])
        elif turns:
            yield from _asked(round.desk, round, turns, count)


def untried(round: Round) -> list[Turn]:
    """Every parent at every setting of the knobs that it was not tried at; one flow once a setting."""
    names = [name for name, _ in round.knobs]
    found: dict[tuple[str, str], Turn] = {}
    for parent in round.parents or round.seeds:
        for values in product(*(values for _, values in round.knobs)):
            turn = Turn(parent, tuple(zip(names, values, strict=True)))
            try:
                key = (identity(parent.graph), turn.point.hash)
            except PointError:
                continue
            if key not in round.known and names:
                found.setdefault(key, turn)
    return list(found.values())


def _asked(desk: Desk, round: Round, turns: Sequence[Turn], count: int) -> Iterator[Proposal]:
    asked = question(desk, round, "reflective", "0", count=count)
    listed = "\n".join(f"  {i}: {turn.parent.name}{_number(turn.parent)} at {turn.text}" for i, turn in enumerate(turns[:64]))
    told = ASKED.format(open=listed, count=count)
    last = asked.ask.messages[-1]
    ask = replace(asked.ask, messages=(*asked.ask.messages[:-1], replace(last, parts=(*last.parts, Text(told)))))
    answer = answers(desk, [Question(key=asked.key, ask=ask, count=count, point=asked.point)])[0]
    if isinstance(answer, CallError):
        raise answer
    for turn in chosen(answer, turns)[:count]:
        yield _proposal(turn, round, desk.proposer)


def chosen(answer: Answer, turns: Sequence[Turn]) -> list[Turn]:
    """The turns that an answer names, each once; what names none, or other values than were on offer, is left out."""
    found: dict[int, Turn] = {}
    for block in [*(block.text for block in blocks(answer.text)), answer.text]:
        for body in json_objects(block):
            index = body.get("flow")
            if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(turns):
                continue
            if all(body.get(name, value) == value for name, value in turns[index].settings):
                found.setdefault(index, replace(turns[index], why=str(body.get("mechanism", ""))[:500]))
        if found:
            break
    return list(found.values())


def _proposal(turn: Turn, round: Round, author: str) -> Proposal:
    parent, graph = turn.parent, turn.parent.graph
    why = turn.why or f"At {turn.text} the same flow may fill a gap of the frontier."
    return Proposal(name=parent.name, source=to_source(graph, name=slug(parent.name), doc=f"{parent.name} at {turn.text}."),
                    point=turn.point, hypothesis=why, author=author, parameters=graph.parameters,
                    parents=() if parent.id is None else (parent.id,))


def _number(parent: Parent) -> str:
    return "" if parent.id is None else f" ({parent.id})"


def make(settings: Mapping[str, Any]) -> Knobs:
    """Raises CampaignError."""
    return Knobs(read_settings(KIND, settings, AskedSettings))
