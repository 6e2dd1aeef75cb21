"""The scientist: a model with tools works at the bench until it has submitted what the round has room for."""
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from agent.answers import read
from agent.desk import Desk, desk_of
from agent.feedback import gather
from agent.memory import about_of, recall
from agent.models.base import Answer, Ask, Message, Part, Stop, Text, ToolCall, ToolResult
from agent.prompts import round_prompt, system_prompt
from agent.proposers.asked import said
from agent.proposers.base import Proposal, Round
from agent.proposers.settings import read_settings
from agent.tools.all import TOOLS
from agent.tools.bench import Bench, Submission, ToolError, about
from agent.tools.box import Toolbox
from vortex.errors import CallError

KIND = "scientist"
FEW = 3                               # turns: from here on the model is told how many are left
NOTEBOOK = 12_000                     # characters of the notebook that a tool tells at most
LEAST_CHARACTERS = 400                # of a result when the conversation has no room left
NUDGE = "Nothing was asked of a tool. Go on with the tools, and hand in a flow with `submit`; nothing else counts."
CUT_OFF = "That answer was cut off at its limit of tokens: say less at a time."


class ScientistSettings(BaseModel):
    """`turns` calls of the model a round at most; `repeats`: as often it may ask one thing of a tool, then it is stopped;
    `characters` of tool results in one conversation, after which they are cut short."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    turns: Annotated[int, Field(ge=1, le=200)] = 24
    repeats: Annotated[int, Field(ge=1, le=20)] = 3
    characters: Annotated[int, Field(ge=1000)] = 120_000


def make(settings: Mapping[str, Any]) -> "Scientist":
    """Raises CampaignError for a setting that it does not take."""
    return Scientist(read_settings(KIND, settings, ScientistSettings))


@dataclass(frozen=True)
class Scientist:
    """See Proposer. Turn T of round N has the key "round N/scientist/turn T": what was answered once is not paid again."""

    settings: ScientistSettings
    kind: str = KIND

    def propose(self, round: Round, rng: Random, count: int) -> Iterator[Proposal]:
        """At most `count` proposals of one conversation. Raises CallError after those that were submitted before it."""
        desk = desk_of(self.kind, round.desk)
        conversation = Conversation(desk, round, self.settings, count)
        refused: CallError | None = None
        try:
            conversation.run()
        except CallError as error:
            refused = error
        yield from conversation.proposals()
        if refused is not None:
            raise refused


@dataclass
class Conversation:
    """One conversation of a round: what was said, what was handed in, and whether it leads anywhere."""

    desk: Desk
    round: Round
    settings: ScientistSettings
    count: int
    submitted: list[Submission] = field(default_factory=list)
    written: list[Proposal] = field(default_factory=list)             # flows of a model that answers without tools
    asked: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._box = Toolbox(TOOLS, _bench(self.desk, self.round, self._submit))
        self._room = self.settings.characters

    def run(self) -> None:
        """Turns until all is submitted, the turns are used up, or the model has nothing more. Raises CallError, Stopped."""
        ask, silent = self._first(), 0
        for turn in range(1, self.settings.turns + 1):
            self.desk.check()
            answer = self.desk.caller.ask(f"{self.desk.key}/turn {turn}", ask)
            silent = 0 if answer.calls else silent + 1
            results = self._answered(answer)
            if self._over(answer, silent):
                break
            parts = self._reply(answer, results, self.settings.turns - turn)
            ask = _longer(ask, Message("assistant", answer.parts), Message("user", parts))
        if not self.submitted:
            self.written = list(self._in_words(answer))

    def proposals(self) -> Iterator[Proposal]:
        for one in self.submitted:
            yield Proposal(name=one.flow.name, source=one.flow.source, point=one.point, parents=one.parents, claim=one.claim,
                           hypothesis=said(one.claim), author=self.desk.proposer, parameters=one.flow.parameters)
        yield from self.written

    def _first(self) -> Ask:
        desk, round = self.desk, self.round
        system = system_prompt("tools", latent=round.geometry.latent, folder=desk.prompts)
        told = gather(round, desk.entries, goal=desk.goal, notes=_notes(desk, round.number))
        text = round_prompt(KIND, told, prefix=system, count=self.count, folder=desk.prompts)
        return Ask(system=system, messages=(Message("user", (Text(text, cached=True),)),), tools=self._box.offered,
                   max_tokens=desk.max_tokens, temperature=desk.temperature, thinking_tokens=desk.thinking_tokens)

    def _answered(self, answer: Answer) -> list[ToolResult]:
        """What the tools say to all calls of an answer."""
        found = []
        for call in answer.calls:
            self.desk.check()
            found.append(self._used(call))
        return found

    def _used(self, call: ToolCall) -> ToolResult:
        # A draft that was written over is asked about anew.
        drafts = {name: flow.source for name, flow in self._box.bench.drafts.items()}
        key = json.dumps([call.name, dict(call.arguments), call.broken, drafts], sort_keys=True)
        self.asked[key] += 1
        if self.asked[key] > 1:
            text = f"asked {self.asked[key]} times; the answer is the one above. Ask something else, or submit."
            return ToolResult(id=call.id, text=text, failed=True)
        self._box.most_characters = max(LEAST_CHARACTERS, min(self._box.most_characters, self._room))
        result = self._box.use(call)
        self._room -= len(result.text)
        return result

    def _over(self, answer: Answer, silent: int) -> bool:
        """Nothing is left to hand in, or nothing more will come."""
        stuck = max(self.asked.values(), default=0) > self.settings.repeats
        if stuck:
            self.desk.note(f"{self.desk.proposer} asks the same again and again: its conversation ends")
        return (stuck or len(self.submitted) >= self.count or not answer.parts or answer.stop is Stop.REFUSED
                or silent > 1)

    def _reply(self, answer: Answer, results: Sequence[ToolResult], left: int) -> tuple[Part, ...]:
        """Results first, as providers want them; then what the model should know."""
        words = [CUT_OFF] if answer.stop is Stop.LENGTH else []
        words += [NUDGE] if not results else []
        if left <= FEW:
            words.append(f"{left} turn{'' if left == 1 else 's'} left, and {self.count - len(self.submitted)} to submit.")
        return (*results, *([Text(" ".join(words))] if words else []))

    def _submit(self, one: Submission) -> str:
        """Raises ToolError where there is no place, or the flow was handed in before."""
        if len(self.submitted) >= self.count:
            raise ToolError(f"all {self.count} places of this round are taken", hint="There is nothing more to do.")
        if (one.hash, one.point.hash) in {(two.hash, two.point.hash) for two in self.submitted} | self.round.known:
            raise ToolError("this flow was handed in before, at this point", hint="Change the algorithm, or turn a knob.")
        self.submitted.append(one)
        left = self.count - len(self.submitted)
        return f"submitted as {one.flow.name!r}; {left} more place{'' if left == 1 else 's'} in this round"

    def _in_words(self, last: Answer) -> Iterator[Proposal]:
        """Flows in the text of the last answer, for a model that does not use tools; the loop judges whether they are legal."""
        for found in read(last).found[:self.count]:
            yield Proposal(name=found.name, source=found.source, point=self.round.point, author=self.desk.proposer,
                           claim=found.hypothesis, hypothesis=said(found.hypothesis), parameters=found.parameters)


def _longer(ask: Ask, *more: Message) -> Ask:
    return Ask(system=ask.system, messages=(*ask.messages, *more), tools=ask.tools, max_tokens=ask.max_tokens,
               temperature=ask.temperature, thinking_tokens=ask.thinking_tokens)


def _bench(desk: Desk, round: Round, submit: Any) -> Bench:
    """Tools see the rows of finished rounds, and write nothing but questions."""
    record = desk.archive.campaign(desk.campaign)
    stages = record.settings["stage"] if record else ()

    def write(question: str) -> None:
        desk.archive.add_note(desk.campaign, "question", question, data={"round": round.number, "by": desk.proposer})

    return Bench(campaign=desk.campaign, about=about(desk.campaign, desk.goal, round.point, round.knobs, stages),
                 point=round.point, knobs=round.knobs, geometry=round.geometry, load=desk.load, entries=lambda: desk.entries,
                 notes=lambda: recall(desk.entries, _notes(desk, round.number), about_of(round.parents), NOTEBOOK).memos,
                 write_question=write, submit=submit)


def _notes(desk: Desk, number: int) -> Sequence[Any]:
    """Without those of this round: it is told the same when a kill makes it begin again."""
    return [note for note in desk.archive.notes(desk.campaign)
            if not note.vetoed and note.data.get("round", 0) < number]
