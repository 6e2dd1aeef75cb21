"""reflective: gives a model parents, their evidence and the siblings that failed, and asks for orthogonal variants."""
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Annotated, Any

from pydantic import Field

from agent.answers import read
from agent.desk import Desk, desk_of
from agent.models.base import Message, Text
from agent.proposers.ancestry import ancestors, named
from agent.proposers.asked import Idea, Question, ideas, proposal, question, settled
from agent.proposers.base import Parent, Proposal, Round
from agent.proposers.settings import AskedSettings, read_settings
from vortex.errors import CallError

KIND = "reflective"
VARIANTS = 4
FRESH = ("Every one of these builds on a flow that is known. Answer with one more flow that names no ancestor: neither a "
         "candidate nor a known algorithm, and no variation of one. Give it in the same form, with its claim.")


class ReflectiveSettings(AskedSettings):
    """`variants` are asked for in one call, `parents` shown in it; `fresh`: at least one of them names no ancestor."""

    variants: Annotated[int, Field(ge=1, le=8)] = VARIANTS
    parents: Annotated[int, Field(ge=1, le=8)] = 3
    fresh: bool = True


@dataclass(frozen=True)
class Reflective:
    """See Proposer. Each call of a round looks at other parents, as far as there are others."""

    settings: ReflectiveSettings
    kind: str = KIND

    def propose(self, round: Round, rng: Random, count: int) -> Iterator[Proposal]:
        desk, each = desk_of(self.kind, round.desk), self.settings.variants
        known = tuple({(p.id, p.name, p.point.hash): p for p in round.parents or round.seeds}.values())
        questions = [question(desk, round, self.kind, str(turn), count=min(each, count - turn * each),
                              parents=turned(known, turn * self.settings.parents, self.settings.parents))
                     for turn in range(-(-count // each))]
        failed: list[CallError] = []
        found: dict[str, list[Idea]] = {one.key: [] for one in questions}
        try:
            for idea in ideas(desk, questions, self.settings.repairs):
                found[idea.question.key].append(idea)
        except CallError as error:
            failed.append(error)
        for one in questions:
            for idea in self._with_a_fresh_one(desk, one, found[one.key], failed):
                yield proposal(idea, desk.proposer, ancestors(idea.found, one.parents))
        if failed:
            raise failed[0]

    def _with_a_fresh_one(self, desk: Desk, question: Question, several: list[Idea],
                          failed: list[CallError]) -> list[Idea]:
        """The variants, the last of which gives way to a new idea where all name ancestors and the model is asked again."""
        if not self.settings.fresh or question.count < VARIANTS or any(not named(i.found, question.parents) for i in several):
            return several
        if not several or failed:
            return several
        said = several[0].answer
        ask = replace(question.ask, messages=(*question.ask.messages, Message("assistant", said.parts),
                                              Message("user", (Text(FRESH),))))
        again = replace(question, key=f"{question.key}/fresh", ask=ask, count=1)
        try:
            answer = desk.caller.ask(again.key, again.ask)
            fresh = list(settled(desk, again, answer, self.settings.repairs)) if read(answer).found else []
        except CallError as error:
            failed.append(error)
            return several
        return [*several[:question.count - len(fresh)], *fresh]


def turned(parents: tuple[Parent, ...], by: int, count: int) -> tuple[Parent, ...]:
    """`count` of the parents, from the one at `by` on, around the end; each once."""
    return tuple(parents[(by + i) % len(parents)] for i in range(min(count, len(parents))))


def make(settings: Mapping[str, Any]) -> Reflective:
    """Raises CampaignError."""
    return Reflective(read_settings(KIND, settings, ReflectiveSettings))
