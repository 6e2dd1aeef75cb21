"""Bounded repair: a refusal goes back to the model once or twice, in the same conversation; or its own edit is applied."""
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from agent.answers import Found, read_answer
from agent.models.base import Answer, Ask, Message, Part, Text, ToolResult
from vortex.errors import AnswerProblem, VortexError

MOST_REPAIRS = 2
MOST_EDITS = 4
Check = Callable[[Found], VortexError | None]        # the refusal of a flow; None: it is legal


class Asking(Protocol):
    """What a Caller does: the answer to an ask under a key, recorded; one that was answered costs nothing."""

    def ask(self, key: str, ask: Ask) -> Answer: ...


@dataclass(frozen=True, kw_only=True)
class Repaired:
    """`found` is the last flow that came, none if none ever did; `refusal` what is wrong with it, None: it is legal.

    `ask` and `answer` are the end of the conversation, `turns` how often the model was asked again.
    """

    found: Found | None
    refusal: VortexError | None
    ask: Ask
    answer: Answer
    turns: int


def repaired(caller: Asking, ask: Ask, answer: Answer, error: VortexError, key: str, most: int = MOST_REPAIRS, *,
             check: Check, found: Found | None = None) -> Repaired:
    """Asks again, at most `most` times, for the flow that `error` refuses; `found` is that flow, where one could be read.

    Asks under "KEY/repair 1" and on. Gives up early on a model that answers the same flow again. Raises CallError.
    """
    now = Repaired(found=found, refusal=error, ask=ask, answer=answer, turns=0)
    while now.refusal is not None and now.turns < most:
        then = _again(caller, now, f"{key}/repair {now.turns + 1}", check)
        same = then.found is not None and now.found is not None and then.found.source == now.found.source
        now = then
        if same:
            break
    return now


def _again(caller: Asking, now: Repaired, key: str, check: Check) -> Repaired:
    assert now.refusal is not None
    ask = told(now.ask, now.answer, now.refusal, now.found)
    answer = caller.ask(key, ask)
    turn = Repaired(found=now.found, refusal=now.refusal, ask=ask, answer=answer, turns=now.turns + 1)
    try:
        found = _the_one(read_answer(answer), now.found)
    except AnswerProblem as problem:
        return replace(turn, refusal=problem)
    return replace(turn, found=found, refusal=check(found))


def _the_one(several: tuple[Found, ...], wanted: Found | None) -> Found:
    """The flow of the name that was asked for, else the first; a claim that is not stated again still stands."""
    found = next((one for one in several if wanted is not None and one.name == wanted.name), several[0])
    if found.hypothesis is None and wanted is not None:
        found = replace(found, hypothesis=wanted.hypothesis)
    return replace(found, parameters=wanted.parameters) if wanted is not None else found


def told(ask: Ask, answer: Answer, refusal: VortexError, found: Found | None = None) -> Ask:
    """The conversation with the answer and its refusal added; every call of a tool that was made has its result."""
    of = found.name if found is not None else "the answer"
    words = f"{of} was refused:\n\n{refusal.report()}\n\nChange what is wrong and give the whole text again, in the same form."
    calls = answer.calls
    at = next((call.id for call in calls if found is not None and call.id == found.call), calls[0].id if calls else "")
    results: list[Part] = [ToolResult(call.id, words, failed=True) if call.id == at else ToolResult(call.id, "Taken.")
                           for call in calls]
    said = Message("assistant", answer.parts or (Text("(nothing)"),))
    return replace(ask, messages=(*ask.messages, said, Message("user", tuple(results or [Text(words)]))))


def mended(text: str, refusal: Callable[[str], VortexError | None], most: int = MOST_EDITS) -> tuple[str, VortexError | None]:
    """`text` after the edits that its refusals propose, at most `most`; and the refusal that is left, if any.

    It knows nothing of flows: it applies `fix` and nothing else, and stops at a refusal without one.
    """
    error = refusal(text)
    for _ in range(most):
        if error is None or error.fix is None:
            break
        try:
            text = error.fix.applied(text, error.where.line)
        except ValueError:
            break
        error = refusal(text)
    return text, error
