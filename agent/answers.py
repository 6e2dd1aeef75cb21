"""What a language model answered, read as flows and their claims. Nothing of an answer is obeyed or run: flows are texts
for the loader, everything else is data.
"""
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from agent.claim_text import claim_from, claim_in, json_objects
from agent.claims import Claim
from agent.fences import Block, blocks
from agent.models.base import Answer, Stop, ToolCall
from agent.registered import names_in, one_each
from vortex.errors import AnswerProblem, Fix, Where
from vortex.ir import Parameter
from vortex.language.mend import parsed

SUBMIT = "submit"
PYTHON = ("", "python", "py", "python3", "vflow", "text", "txt", "plaintext", "code")
A_FLOW = re.compile(r"^[ \t]*class\s+\w+.*$", re.MULTILINE)
ITS_WORDS = re.compile(r"\b(?:vFlow|vFlowMLA|register|forward_indexer|forward_cache)\b")
BEGINS = re.compile(r"^(?:from vortex\w*(?:\.\w+)* import |import vortex|@register\b|class \w+\(vFlow)")
BELONGS = re.compile(r"^(?:[ \t]|$|from |import |@|class |def |#|\"\"\"|'''|[A-Z_]+ ?=|\))")
FORM = "Answer with one fenced block for each flow: ```python, the whole text from its imports on, ```."
MOST_FLOWS = 32


@dataclass(frozen=True, kw_only=True)
class Found:
    """A flow as it was answered; nothing is said of whether it is legal. `call` is the id of the tool call it came in.

    `parameters` are those the proposer gives it: an answer brings none. `line` is where it begins in the answer, from 1.
    """

    name: str
    source: str
    hypothesis: Claim | None = None
    parameters: tuple[Parameter, ...] = ()
    call: str = ""
    line: int = 0


@dataclass(frozen=True)
class Reading:
    """All that an answer holds: flows, and what was wrong with the rest of it."""

    found: tuple[Found, ...]
    problems: tuple[AnswerProblem, ...] = ()


def read_answer(answer: Answer) -> tuple[Found, ...]:
    """The flows of an answer, in their order. Raises AnswerProblem where it holds none."""
    reading = read(answer)
    if not reading.found:
        raise reading.problems[0]
    return reading.found


def read(answer: Answer) -> Reading:
    """The flows of an answer; where there are none, at least one problem."""
    if answer.stop is Stop.REFUSED:
        return Reading((), (_problem("the model refused to answer", "Nothing is mended here: ask for something else."),))
    submitted = [call for call in answer.calls if call.name == SUBMIT]
    if submitted:
        return _checked(list(_of_calls(submitted, answer.stop)))
    return read_text(answer.text, cut=answer.stop is Stop.LENGTH)


def read_text(text: str, *, cut: bool = False) -> Reading:
    """The flows of a text with fenced blocks. `cut`: it was broken off, and its last block may be half a flow."""
    text = re.sub("\r\n?", "\n", text).removeprefix("\ufeff")
    several = blocks(text)
    found: list[Found | AnswerProblem] = list(_of_blocks(text, several, cut))
    if not any(isinstance(one, Found) for one in found):
        found = found or list(_unfenced(text, several, cut))
    return _checked(found or [_nothing(text, several, cut)])


def _checked(several: Sequence[Found | AnswerProblem]) -> Reading:
    """Each flow once; of several texts under one name the last, which is the one the model settled on."""
    latest: dict[str, Found] = {}
    for one in several:
        if isinstance(one, Found) and not any(_same(one.source, known.source) for known in latest.values()):
            latest[one.name] = one
    return Reading(tuple(latest.values())[:MOST_FLOWS], tuple(one for one in several if isinstance(one, AnswerProblem)))


def _same(one: str, other: str) -> bool:
    return one.split() == other.split()


def _problem(message: str, hint: str = FORM, line: int = 0, text: str = "", fix: Fix | None = None) -> AnswerProblem:
    return AnswerProblem(message, hint=hint, where=Where("answer", line, text), fix=fix)


# Tool calls.

def _of_calls(calls: Sequence[ToolCall], stop: Stop) -> Iterator[Found | AnswerProblem]:
    for call in calls:
        if call.broken and stop is Stop.LENGTH:
            yield _cut_off()
        elif call.broken:
            yield _problem("the arguments of submit are not JSON", "Give name, source, mechanism, prediction and refuted_by; "
                           "within source, line ends are \\n and quotes \\\".")
        else:
            yield from _submitted(call.arguments, call.id)


def _submitted(body: Mapping[str, object], call: str = "", line: int = 0) -> Iterator[Found | AnswerProblem]:
    source = body.get("source")
    if not isinstance(source, str) or not source.strip():
        given = ", ".join(sorted(map(str, body))[:12]) or "nothing"
        yield _problem("submit is called without source", f"Give the whole text of the flow as source. Given: {given}.", line)
        return
    source = re.sub("\r\n?", "\n", source)
    within = [block.text for block in blocks(source) if _is_flow(block.text)] if "class " in source and _fenced(source) else []
    for text in within or [source]:
        for part in one_each(text):
            yield Found(name=names_in(part) or str(body.get("name") or "flow"), source=part, call=call, line=line,
                        hypothesis=claim_from(body) or claim_in(part))


def _fenced(source: str) -> bool:
    return source.lstrip().startswith(("```", "~~~"))


# Texts.

def _of_blocks(text: str, several: Sequence[Block], cut: bool) -> Iterator[Found | AnswerProblem]:
    flows: list[tuple[Block, str]] = []
    claims: list[Mapping[str, object]] = []
    for block in several:
        whole = block.ending != "text" or not cut
        objects = json_objects(block.text) if whole and block.info in ("json", "", "tool_call") else []
        if objects:
            yield from _of_objects(objects, claims, block)
        elif block.info in PYTHON and _is_flow(block.text):
            if not whole:
                yield _cut_off(block.begin)
            elif block.ending == "text" and (after := _after(block.text)):
                yield _unclosed(block, after)
            else:
                flows.append((block, block.text))
    yield from _claimed(text, flows, claims)


def _of_objects(objects: Sequence[Mapping[str, object]], claims: list[Mapping[str, object]],
                block: Block) -> Iterator[Found | AnswerProblem]:
    """A call of submit written out as JSON is one; other objects are claims."""
    for body in objects:
        inner = body.get("arguments", body.get("input"))
        given = inner if isinstance(inner, Mapping) else body
        if "source" in given or body.get("name") == SUBMIT:
            yield from _submitted(given, line=block.begin)
        else:
            claims.append(given)


def _claimed(text: str, flows: Sequence[tuple[Block, str]], bodies: Sequence[Mapping[str, object]]) -> Iterator[Found]:
    """Each flow with the claim that names it, or stands on its side of it: all before their flows, or all after."""
    lines = text.split("\n")
    ends = [0, *(block.end + 1 for block, _ in flows)]
    begins = [*(block.begin - 1 for block, _ in flows), len(lines)]
    gaps = [claim_in("\n".join(lines[a:b])) for a, b in zip(ends, begins, strict=True)]
    after = 0 if gaps[0] is not None or len(flows) < len(gaps) - 1 else 1
    unnamed = [body for body in bodies if "name" not in body]
    for index, (block, source) in enumerate(flows):
        for part in one_each(source):
            name = names_in(part) or block.heading.removesuffix(".py") or f"flow-{index + 1}"
            named = next((body for body in bodies if body.get("name") == name), None) or \
                (unnamed[index] if index < len(unnamed) else {})
            claim = claim_from(named) or gaps[index + after] or claim_in(part)
            yield Found(name=name, source=part, hypothesis=claim, line=block.begin + 1)


def _is_flow(text: str) -> bool:
    return A_FLOW.search(text) is not None and ITS_WORDS.search(text) is not None


def _after(text: str) -> int:
    """How many lines of a block that nothing closes are its flow, where words follow it; 0: all, or that is not known."""
    lines = text.rstrip("\n").split("\n")
    end = next((at for at, line in enumerate(lines) if at and not BELONGS.match(line)), 0)
    if not end or not _is_python("\n".join(lines[:end])) or _is_python(text):
        return 0
    while not lines[end - 1].strip():
        end -= 1
    return end


def _is_python(text: str) -> bool:
    try:
        parsed(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _unclosed(block: Block, count: int) -> AnswerProblem:
    last = block.text.split("\n")[count - 1]
    return _problem("the fenced block of a flow is never closed, and words follow it", "Close it with ``` on a line of its own.",
                    block.begin + count, last, Fix(last, f"{last}\n```"))


def _unfenced(text: str, several: Sequence[Block], cut: bool) -> Iterator[Found | AnswerProblem]:
    """A whole text that is a flow, and a flow between words that no fence holds."""
    if several or not _is_flow(text):
        return
    lines = text.split("\n")
    begin = next((at for at, line in enumerate(lines) if BEGINS.match(line)), None)
    if cut:
        yield _cut_off((begin or 0) + 1)
    elif _is_python(text):
        yield from (replace(found, line=1) for found in _claimed("", [(_whole(text), text)], ()))
    elif begin is not None:
        yield _problem("a flow stands outside of a fenced block", "Write ```python before it and ``` after it.", begin + 1,
                       lines[begin], Fix(lines[begin], f"```python\n{lines[begin]}"))


def _whole(text: str) -> Block:
    return Block(info="", text=text, begin=1, end=0, ending="fence")


def _cut_off(line: int = 0) -> AnswerProblem:
    return _problem("the answer was cut off at the most tokens it may have: half a flow is none",
                    "Answer shorter: less before the flow, or fewer flows at once.", line)


def _nothing(text: str, several: Sequence[Block], cut: bool) -> AnswerProblem:
    """Why a text holds no flow."""
    if cut:
        return _cut_off()
    if not text.strip():
        return _problem("the answer is empty")
    others = sorted({block.info for block in several if block.info not in PYTHON})
    if others and len(others) == len({block.info for block in several}):
        return _problem(f"the answer holds {', '.join(others)}, and no flow", f"A flow is Python. {FORM}", several[0].begin)
    if several:
        return _problem("no fenced block defines a flow", "A flow is a class that derives from vFlow, under @register(\"name\"), "
                        f"with forward_indexer(self, q, cache). {FORM}", several[0].begin)
    return _problem("the answer holds words and no flow")
