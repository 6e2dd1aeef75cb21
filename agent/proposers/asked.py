"""Flows asked of a model: questions are put at once, answers read in their order, refusals sent back, nothing lost."""
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from agent.answers import Found, read
from agent.claims import Claim
from agent.desk import Desk
from agent.feedback import gather
from agent.models.base import Answer, Ask, Message, Text
from agent.prompts import round_prompt, system_prompt
from agent.proposers.base import Parent, Proposal, Round
from agent.repair import repaired
from agent.told import Outcome
from search.candidate import Entry
from search.frontier import Frontier, frontier
from search.why import why
from vortex.config import OperatingPoint
from vortex.errors import CallError, VortexError


@dataclass(frozen=True, kw_only=True)
class Question:
    """One call and what its answer is about. `key` names it in the ledger; `count` is how many flows are wanted."""

    key: str
    ask: Ask
    count: int
    point: OperatingPoint
    parents: tuple[Parent, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Idea:
    """A flow of an answer, after its repairs: `refusal` is the last one, None where it is legal."""

    found: Found
    question: Question
    answer: Answer
    refusal: VortexError | None = None


def question(desk: Desk, round: Round, kind: str, key: str, *, count: int, theme: str = "",
             parents: tuple[Parent, ...] | None = None, had: Sequence[Entry] = ()) -> Question:
    """The question of a round for a proposer of `kind`; `had` are its earlier ideas, oldest first. Raises PromptError."""
    about = round if parents is None else replace(round, parents=parents)
    system = system_prompt(latent=round.geometry.latent, folder=desk.prompts)
    told = gather(about, desk.entries, goal=desk.goal, notes=desk.archive.notes(desk.campaign), theme=theme)
    if had:
        known = frontier(desk.entries)
        told = replace(told, siblings=tuple(_outcome(entry, known) for entry in reversed(had)))
    text = round_prompt(kind, told, prefix=system, count=count, theme=theme, folder=desk.prompts)
    ask = Ask(system=system, messages=(Message("user", (Text(text),)),), max_tokens=desk.max_tokens,
              temperature=desk.temperature, thinking_tokens=desk.thinking_tokens)
    point = about.parents[0].point if about.parents else round.point
    return Question(key=f"{desk.key}/{key}", ask=ask, count=count, point=point, parents=about.parents)


def _outcome(entry: Entry, known: Frontier) -> Outcome:
    one = entry.candidate
    return Outcome(id=one.id, name=one.name, parents=one.parents, hypothesis=one.hypothesis, outcome=why(known, entry))


def ideas(desk: Desk, questions: Sequence[Question], repairs: int) -> Iterator[Idea]:
    """The flows of all answers, in the order of questions, refused ones too. Raises CallError after the last of them."""
    failed: list[CallError] = []
    for one, answer in zip(questions, answers(desk, questions), strict=True):
        if isinstance(answer, CallError):
            failed.append(answer)
            continue
        try:
            yield from settled(desk, one, answer, repairs)
        except CallError as error:
            failed.append(error)
    if failed:
        raise failed[0]


def answers(desk: Desk, questions: Sequence[Question]) -> list[Answer | CallError]:
    """What came of each question, in their order; several at once where the desk has a pace. Raises Stopped."""
    found: dict[str, Answer] = {}

    def ask(one: Question) -> Answer:
        desk.check()
        return found.setdefault(one.key, desk.caller.ask(one.key, one.ask))

    failure: CallError | None = None
    try:
        if desk.pace is None:
            for one in questions:
                ask(one)
        else:
            desk.pace.run([partial(ask, one) for one in questions])
    except CallError as error:
        failure = error
    if failure is None:
        return [found[one.key] for one in questions]
    return [found.get(one.key, failure) for one in questions]


def settled(desk: Desk, question: Question, answer: Answer, repairs: int) -> Iterator[Idea]:
    """The flows of one answer; those that are refused go back to the model, together with an answer that holds none.

    Raises CallError after the last of them.
    """
    reading = read(answer)
    failed: list[CallError] = []
    for index, found in enumerate(reading.found[:question.count]):
        refusal = _refusal(desk, found)
        idea = Idea(found=found, question=question, answer=answer, refusal=refusal)
        yield idea if refusal is None else _mended(desk, idea, f"{question.key}/{index}", repairs, failed)
    if not reading.found:
        text = answer.text or "(nothing)"
        idea = Idea(found=Found(name="no flow", source=text), question=question, answer=answer, refusal=reading.problems[0])
        yield _mended(desk, idea, question.key, repairs, failed)
    if failed:
        raise failed[0]


def _mended(desk: Desk, idea: Idea, key: str, repairs: int, failed: list[CallError]) -> Idea:
    """The idea after at most `repairs` turns; as it was where the model could not be asked, which `failed` then tells."""
    assert idea.refusal is not None
    desk.check()
    flow = None if idea.found.name == "no flow" else idea.found
    try:
        end = repaired(desk.caller, idea.question.ask, idea.answer, idea.refusal, key, repairs,
                       check=lambda found: _refusal(desk, found), found=flow)
    except CallError as error:
        failed.append(error)
        return idea
    return replace(idea, found=end.found or idea.found, refusal=end.refusal)


def _refusal(desk: Desk, found: Found) -> VortexError | None:
    return desk.load(found.source, f"<{found.name}>", found.parameters)[1]


def proposal(idea: Idea, author: str, parents: Sequence[Parent] = ()) -> Proposal:
    """The idea as a proposal at its question's point; `parents` are those that it builds on."""
    claim = idea.found.hypothesis
    return Proposal(name=idea.found.name, source=idea.found.source, point=idea.question.point, author=author, claim=claim,
                    hypothesis=said(claim), parents=tuple(p.id for p in parents if p.id is not None),
                    parameters=idea.found.parameters, refusal=idea.refusal)


def said(claim: Claim | None) -> str:
    """A claim in one line: `Sharper envelopes. Predicts accuracy up by 0.02, speed down. Refuted by: ...`"""
    if claim is None:
        return ""
    moves = [f"{one.objective} {one.direction}" + ("" if one.amount is None else f" by {one.amount:g}")
             for one in claim.prediction]
    parts = [claim.mechanism.strip(), f"Predicts {', '.join(moves)}." if moves else "",
             f"Refuted by: {claim.refuted_by.strip()}" if claim.refuted_by.strip() else ""]
    return " ".join(part for part in parts if part)
