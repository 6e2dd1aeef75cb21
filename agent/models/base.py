"""What is said to a language model and what it answers, whoever serves it."""
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol, TypeAlias


@dataclass(frozen=True)
class Text:
    """Words. `cached`: what stands up to here is the same in many calls, and worth keeping by the provider."""

    text: str
    cached: bool = False


@dataclass(frozen=True)
class Thinking:
    """What the model thought aloud; `token` is what the provider wants to see again, verbatim."""

    text: str
    token: str = ""


@dataclass(frozen=True)
class ToolCall:
    """The model asks for a tool. `broken` holds the text of arguments that are not JSON."""

    id: str
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    broken: str = ""


@dataclass(frozen=True)
class ToolResult:
    """What a tool said, to the call of this id."""

    id: str
    text: str
    failed: bool = False


Part: TypeAlias = Text | Thinking | ToolCall | ToolResult
KINDS: Mapping[str, type] = {"text": Text, "thinking": Thinking, "call": ToolCall, "result": ToolResult}


@dataclass(frozen=True)
class Message:
    role: Literal["user", "assistant"]
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Tool:
    """A tool on offer; `schema` is JSON Schema of its arguments, an object."""

    name: str
    description: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One call. `system` and `tools` come first and change least, so that providers can cache them."""

    system: tuple[Text, ...]
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    max_tokens: int = 8192
    temperature: float | None = None
    thinking_tokens: int = 0              # 0: none is asked for

    def to_json(self) -> dict[str, Any]:
        return {"system": [part_json(text) for text in self.system], "messages": [message_json(m) for m in self.messages],
                "tools": [{"name": t.name, "description": t.description, "schema": dict(t.schema)} for t in self.tools],
                "max_tokens": self.max_tokens, "temperature": self.temperature, "thinking_tokens": self.thinking_tokens}

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> "Ask":
        return Ask(system=tuple(Text(text["text"], text["cached"]) for text in body["system"]),
                   messages=tuple(Message(m["role"], tuple(map(part_from, m["parts"]))) for m in body["messages"]),
                   tools=tuple(Tool(**tool) for tool in body["tools"]), max_tokens=body["max_tokens"],
                   temperature=body["temperature"], thinking_tokens=body["thinking_tokens"])

    @property
    def digest(self) -> str:
        """16 hex digits of all that is said."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


class Stop(StrEnum):
    """Why an answer ended."""

    END = "end"
    TOOLS = "tools"
    LENGTH = "length"                     # cut off at max_tokens
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens, as the provider counts them; `input` leaves out those read from or written to its cache."""

    input: int = 0
    output: int = 0                       # thinking included
    cache_read: int = 0
    cache_write: int = 0

    @property
    def total(self) -> int:
        return self.input + self.output + self.cache_read + self.cache_write


@dataclass(frozen=True, kw_only=True)
class Answer:
    """`model` is the name that the provider gave; `seconds` the wall clock of the call that succeeded.

    `overloads` counts how often the provider asked to come back later before it answered.
    """

    parts: tuple[Part, ...]
    stop: Stop
    usage: Usage
    model: str
    seconds: float = 0.0
    request_id: str = ""
    overloads: int = 0

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        return tuple(part for part in self.parts if isinstance(part, ToolCall))

    def to_json(self) -> dict[str, Any]:
        return {"parts": [part_json(part) for part in self.parts], "stop": self.stop.value, "usage": vars(self.usage),
                "model": self.model, "seconds": self.seconds, "request_id": self.request_id,
                "overloads": self.overloads}

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> "Answer":
        return Answer(parts=tuple(part_from(part) for part in body["parts"]), stop=Stop(body["stop"]),
                      usage=Usage(**body["usage"]), model=body["model"], seconds=body["seconds"],
                      request_id=body["request_id"], overloads=body.get("overloads", 0))


def part_json(part: Part) -> dict[str, Any]:
    kind = next(name for name, cls in KINDS.items() if isinstance(part, cls))
    return {"kind": kind, **vars(part)}


def part_from(body: Mapping[str, Any]) -> Part:
    values = dict(body)
    part: Part = KINDS[values.pop("kind")](**values)
    return part


def message_json(message: Message) -> dict[str, Any]:
    return {"role": message.role, "parts": [part_json(part) for part in message.parts]}


class Model(Protocol):
    """A language model behind a provider. `ask` streams, retries by the SDK's own rules, and raises CallError."""

    @property
    def name(self) -> str:
        """As prices and the campaign file know it."""

    def ask(self, ask: Ask) -> Answer: ...
