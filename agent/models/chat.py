"""Chat Completions, for endpoints that are compatible with OpenAI's."""
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import openai

from agent.models import gpt, wire
from agent.models.base import Answer, Ask, Message, Part, Stop, Text, Thinking, ToolCall, ToolResult
from vortex.errors import BrokenAnswer

STOPS = {"stop": Stop.END, "tool_calls": Stop.TOOLS, "function_call": Stop.TOOLS, "length": Stop.LENGTH,
         "content_filter": Stop.REFUSED}
THOUGHTS = ("reasoning_content", "reasoning")          # what endpoints call the thinking that they show


@dataclass(frozen=True)
class Chat:
    """A model behind an endpoint; `name` is `openai:` and what the endpoint calls it."""

    name: str
    who: wire.Provider
    client: openai.OpenAI = field(repr=False)
    limit_s: float = wire.LIMIT_S

    def ask(self, ask: Ask) -> Answer:
        start = time.monotonic()
        wire.overloads()
        with wire.refusals(self.who, self.name):
            create: Any = self.client.chat.completions.create
            with create(**request(self.name.removeprefix("openai:"), ask)) as stream:
                draft = Draft(str(stream.response.headers.get("x-request-id", "")))
                draft.read(wire.timely(self.who, stream, self.limit_s))
            return draft.answer(self.name, time.monotonic() - start)


def connect(name: str, base_url: str | None = None, max_retries: int = 4, limit_s: float = wire.LIMIT_S) -> Chat:
    """Raises MissingKey."""
    return Chat(name, *gpt.client(base_url, max_retries), limit_s)


def request(name: str, ask: Ask) -> dict[str, Any]:
    """The body of a request, in the words that most endpoints know."""
    system = "\n\n".join(text.text for text in ask.system)
    opening = [{"role": "system", "content": system}] if system else []
    body: dict[str, Any] = {"model": name, "messages": opening + [said for m in ask.messages for said in messages(m)],
                            "max_tokens": ask.max_tokens, "stream": True, "stream_options": {"include_usage": True}}
    if ask.tools:
        body["tools"] = [{"type": "function", "function": {"name": t.name, "description": t.description,
                                                           "parameters": dict(t.schema)}} for t in ask.tools]
    if ask.temperature is not None:
        body["temperature"] = ask.temperature
    return body


def messages(message: Message) -> Iterator[dict[str, Any]]:
    """Results of tools are messages of their own, and go first."""
    for part in message.parts:
        if isinstance(part, ToolResult):
            yield {"role": "tool", "tool_call_id": part.id, "content": part.text}
    text = "".join(part.text for part in message.parts if isinstance(part, Text))
    calls = [{"id": part.id, "type": "function", "function": {"name": part.name, "arguments": json.dumps(wire.arguments(part))}}
             for part in message.parts if isinstance(part, ToolCall)]
    if calls:
        yield {"role": message.role, "content": text or None, "tool_calls": calls}
    elif text:
        yield {"role": message.role, "content": text}


class Draft:
    """An answer while it streams in."""

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.model = ""
        self.text, self.thought, self.refusal = "", "", ""
        self.stop = ""
        self.counts: dict[str, Any] = {}
        self.calls: dict[int, dict[str, str]] = {}       # id, name, arguments

    def read(self, chunks: Iterable[Any]) -> None:
        for chunk in chunks:
            self.model = chunk.model or self.model
            if chunk.usage is not None:
                self.counts = chunk.usage.to_dict()
            for choice in chunk.choices or ():
                self.stop = choice.finish_reason or self.stop
                self.add(choice.delta)

    def add(self, delta: Any) -> None:
        self.text += delta.content or ""
        self.refusal += delta.refusal or ""
        extra = delta.model_extra or {}
        self.thought += next((str(extra[name]) for name in THOUGHTS if extra.get(name)), "")
        for piece in delta.tool_calls or ():
            call = self.calls.setdefault(piece.index, {"id": "", "name": "", "arguments": ""})
            call["id"] = piece.id or call["id"]
            if piece.function is not None:
                call["name"] += piece.function.name or ""
                call["arguments"] += piece.function.arguments or ""

    def parts(self) -> Iterator[Part]:
        if self.thought:
            yield Thinking(self.thought)
        if self.text or self.refusal:
            yield Text(self.text + self.refusal)
        for index, call in sorted(self.calls.items()):
            yield wire.read_call(call["name"], call["id"] or f"call {index}", call["arguments"])

    def answer(self, name: str, seconds: float) -> Answer:
        """Raises BrokenAnswer when the stream ended before the answer did, or counts no tokens."""
        if self.stop not in STOPS:
            raise BrokenAnswer(f"the answer of {name} stops before its end (finish reason {self.stop or 'none'!r})")
        if not self.counts:
            raise BrokenAnswer(f"the answer of {name} does not say how many tokens it took",
                               hint="the endpoint must honour stream_options.include_usage")
        stop = Stop.REFUSED if self.refusal else STOPS[self.stop]
        return Answer(parts=tuple(self.parts()), stop=Stop.TOOLS if stop is Stop.END and self.calls else stop,
                      usage=gpt.usage(self.counts), model=self.model or name, seconds=seconds,
                      request_id=self.request_id, overloads=wire.overloads())
