"""Answers of models, written for the tests: correct ones, mistakes, and such as hold no flow.

A file holds entries: a line `%%% KIND | title | settings`, then the answer as it would come. KIND: `right` becomes flows,
`wrong` is refused with words that name the fix, `none` holds no flow. Settings: flows=N, names=a,b, claim, crlf, stop=length,
code=ShapeMismatch (of the first refusal), by-hand (no edit of a few mends it).
"""
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.answers import read
from agent.models.base import Answer, Part, Stop, Text, ToolCall, Usage
from agent.repair import mended
from vortex.compiler.front import load
from vortex.errors import VortexError
from vortex.ir import Geometry

FOLDER = Path(__file__).parent / "corpus"


@dataclass(frozen=True)
class Case:
    """One answer. `text` is empty where it is a call of a tool with `arguments`."""

    file: str
    kind: str
    title: str
    settings: Mapping[str, str]
    text: str
    arguments: Mapping[str, object]

    @property
    def name(self) -> str:
        return f"{self.file}: {self.title}"

    @property
    def answer(self) -> Answer:
        text = self.text.replace("\n", "\r\n") if "crlf" in self.settings else self.text
        broken = str(self.arguments.get("broken", ""))
        call = ToolCall("call-1", "submit", {} if broken else self.arguments, broken)
        parts: tuple[Part, ...] = (call,) if self.arguments else (Text(text),)
        return Answer(parts=parts, stop=Stop(self.settings.get("stop", "tools" if self.arguments else "end")), usage=Usage(),
                      model="scripted")


def cases(kind: str) -> list[Case]:
    return [case for case in (*_texts(), *_calls()) if case.kind == kind]


def _texts() -> Iterator[Case]:
    for path in sorted(FOLDER.glob("*.md")):
        for entry in path.read_text().split("%%% ")[1:]:
            head, _, text = entry.partition("\n")
            kind, title, *more = (part.strip() for part in head.split("|"))
            settings = dict(part.partition("=")[::2] for part in " ".join(more).split())
            yield Case(path.stem, kind, title, settings, text.rstrip("\n"), {})


def _calls() -> Iterator[Case]:
    for path in sorted(FOLDER.glob("*.toml")):
        for entry in tomllib.loads(path.read_text())["answer"]:
            yield Case(path.stem, entry["kind"], entry["title"], entry.get("settings", {}), "", entry["arguments"])


def refusal(source: str) -> VortexError | None:
    """Why a flow is none; None for one that is."""
    try:
        load(source, "<answer>", Geometry())
    except VortexError as error:
        return error
    return None


def refusals(sources: Sequence[str]) -> list[str]:
    """The reports of those that are no flows; for a limited child."""
    return [error.report() for source in sources if (error := refusal(source)) is not None]


def problem(case: Case, text: str) -> VortexError | None:
    """What is wrong with the form of an answer of this text."""
    reading = read(Answer(parts=(Text(text),), stop=case.answer.stop, usage=Usage(), model="scripted"))
    return None if reading.found else reading.problems[0]


def first_refusal(case: Case) -> VortexError | None:
    """What a model is told first: of the form of its answer, or of its first flow that is refused."""
    reading = read(case.answer)
    if not reading.found:
        return reading.problems[0]
    return next((error for found in reading.found if (error := refusal(found.source)) is not None), None)


def left(case: Case) -> VortexError | None:
    """The refusal that is left after the scripted repair: the form of the answer first, then each flow in it."""
    answer = case.answer
    if case.text:
        text, error = mended(answer.text, lambda text: problem(case, text))
        if error is not None:
            return error
        answer = Answer(parts=(Text(text),), stop=answer.stop, usage=Usage(), model="scripted")
    reading = read(answer)
    if not reading.found:
        return reading.problems[0]
    ends = [mended(found.source, refusal)[1] for found in reading.found]
    return next((error for error in ends if error is not None), None)
