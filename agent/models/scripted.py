"""A language model that reads its answers from a file: for dry runs, examples and tests."""
import json
import re
import threading
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.models.base import Answer, Ask, Part, Stop, Text, Thinking, ToolCall, Usage
from vortex import errors
from vortex.errors import CallError, ScriptEnded, UnknownLanguageModel, Where

LETTERS_PER_TOKEN = 4


class Call(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    id: str = ""
    broken: str = ""


class Line(BaseModel):
    """One answer of a file. `when`: a regular expression that the last words of the user must hold for it to be given."""

    model_config = ConfigDict(extra="forbid")
    text: str = ""
    thinking: str = ""
    calls: list[Call] = Field(default_factory=list)
    usage: dict[str, int] = Field(default_factory=dict)
    stop: Stop | None = None
    when: str = ""
    repeat: bool = False                  # given again and again, else once
    error: str = ""                       # the name of a CallError that is raised instead


@dataclass
class Scripted:
    """Gives the first answer left whose `when` fits, else the first left that has none. Answers of a file are numbered from 1."""

    name: str
    lines: tuple[Line, ...]

    def __post_init__(self) -> None:
        self._used: set[int] = set()
        self._lock = threading.Lock()

    def ask(self, ask: Ask) -> Answer:
        """Raises ScriptEnded, or the error that the file asks for."""
        said = last_words(ask)
        with self._lock:
            at = self._choose(said)
            self._used.add(at)
        line = self.lines[at]
        if line.error:
            raise getattr(errors, line.error)(line.text or "the script says so")
        parts = tuple(said_parts(line, at))
        stop = line.stop or (Stop.TOOLS if line.calls else Stop.END)
        return Answer(parts=parts, stop=stop, usage=counted(line, ask), model=self.name, request_id=f"answer {at + 1}")

    def remember(self, answer: Answer) -> None:
        """An answer that an earlier run was given and kept: it is not given again."""
        if answer.model == self.name and answer.request_id.startswith("answer "):
            self._used.add(int(answer.request_id.removeprefix("answer ")) - 1)

    def _choose(self, said: str) -> int:
        left = [i for i, line in enumerate(self.lines) if line.repeat or i not in self._used]
        fitting = [i for i in left if self.lines[i].when and re.search(self.lines[i].when, said)]
        found = fitting or [i for i in left if not self.lines[i].when]
        if not found:
            raise ScriptEnded(f"{self.name} has no answer left: {len(self.lines)} in the file, {len(self._used)} given",
                              hint="add answers to the file, or repeat = true to one of them")
        return found[0]


def connect(name: str) -> Scripted:
    """Raises UnknownLanguageModel when the file is missing or holds something other than answers."""
    path = Path(name.removeprefix("scripted:"))
    try:
        return Scripted(name, tuple(read(path)))
    except OSError as error:
        raise UnknownLanguageModel(f"no answers can be read from {path}: {error.strerror}",
                                   hint="scripted:PATH names a .jsonl or .toml file of answers") from error


def read(path: Path) -> list[Line]:
    """The answers of a file: one JSON object a line, or [[answer]] tables in TOML."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".toml":
        try:
            rows = [(0, row) for row in tomllib.loads(text).get("answer", [])]
        except tomllib.TOMLDecodeError as error:
            raise unreadable(path, 0, str(error)) from error
    else:
        rows = [(n, parsed(path, n, row)) for n, row in enumerate(text.splitlines(), 1) if row.strip()]
    return [line(path, n, row) for n, row in rows]


def parsed(path: Path, number: int, row: str) -> Any:
    try:
        return json.loads(row)
    except ValueError as error:
        raise unreadable(path, number, str(error)) from error


def line(path: Path, number: int, row: Any) -> Line:
    try:
        found = Line.model_validate(row)
        Usage(**found.usage)
        re.compile(found.when)
    except ValidationError as error:
        first = error.errors()[0]
        raise unreadable(path, number, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (TypeError, re.error) as error:
        raise unreadable(path, number, str(error)) from error
    if found.error and not issubclass(getattr(errors, found.error, object), CallError):
        raise unreadable(path, number, f"error: {found.error} is no CallError")
    return found


def unreadable(path: Path, number: int, why: str) -> UnknownLanguageModel:
    return UnknownLanguageModel(f"this is not an answer of a script: {why}", where=Where(str(path), number),
                                hint="an answer has text, thinking, calls, usage, stop, when, repeat, error")


def said_parts(line: Line, at: int) -> list[Part]:
    parts: list[Part] = [Thinking(line.thinking)] if line.thinking else []
    if line.text:
        parts.append(Text(line.text))
    calls = enumerate(line.calls, 1)
    return parts + [ToolCall(c.id or f"call {at + 1}.{n}", c.name, c.arguments, c.broken) for n, c in calls]


def counted(line: Line, ask: Ask) -> Usage:
    """The usage that the file states, else letters by four."""
    if line.usage:
        return Usage(**line.usage)
    said = len(line.text) + len(line.thinking) + sum(len(c.model_dump_json()) for c in line.calls)
    return Usage(input=len(json.dumps(ask.to_json())) // LETTERS_PER_TOKEN, output=-(-said // LETTERS_PER_TOKEN))


def last_words(ask: Ask) -> str:
    """What the user, or a tool, said last."""
    users = [message for message in ask.messages if message.role == "user"]
    return "\n".join(getattr(part, "text", "") for part in users[-1].parts) if users else ""
