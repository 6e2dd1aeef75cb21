"""Anthropic's Messages: requests with cache marks, answers assembled from the stream."""
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anthropic

from agent.models import wire
from agent.models.base import Answer, Ask, Message, Part, Stop, Text, Thinking, ToolCall, ToolResult, Usage
from vortex.errors import BrokenAnswer

STOPS = {"end_turn": Stop.END, "stop_sequence": Stop.END, "pause_turn": Stop.END, "tool_use": Stop.TOOLS,
         "max_tokens": Stop.LENGTH, "model_context_window_exceeded": Stop.LENGTH, "refusal": Stop.REFUSED}
CACHED = {"type": "ephemeral"}
MAX_MARKS = 4
REDACTED = "redacted:"
GRADED = (4, 6)                           # from this version on, thinking is told a grade of effort, not a number of tokens
LEAST_THINKING = 1024


@dataclass(frozen=True)
class Claude:
    """A model of Anthropic, or of an endpoint that speaks Messages."""

    name: str
    who: wire.Provider
    client: anthropic.Anthropic = field(repr=False)
    limit_s: float = wire.LIMIT_S

    def ask(self, ask: Ask) -> Answer:
        start = time.monotonic()
        wire.overloads()
        with wire.refusals(self.who, self.name):
            create: Any = self.client.messages.create
            with create(**request(self.name, ask), stream=True) as stream:
                draft = Draft(str(stream.response.headers.get("request-id", "")))
                draft.read(wire.timely(self.who, stream, self.limit_s))
            return draft.answer(self.name, time.monotonic() - start)


def connect(name: str, base_url: str | None = None, max_retries: int = 4, limit_s: float = wire.LIMIT_S) -> Claude:
    """Raises MissingKey. `base_url` goes before ANTHROPIC_BASE_URL, and that before the provider's own."""
    base_url = base_url or os.environ.get("ANTHROPIC_BASE_URL") or None
    who = wire.provider("Anthropic", "ANTHROPIC_API_KEY", anthropic, base_url)
    http = anthropic.DefaultHttpxClient(timeout=wire.TIMEOUT, event_hooks={"response": [wire.hear]})
    client = anthropic.Anthropic(api_key=who.key, base_url=base_url, max_retries=max_retries, timeout=wire.TIMEOUT,
                                 http_client=http)
    return Claude(name, who, client, limit_s)


def request(name: str, ask: Ask) -> dict[str, Any]:
    """The body of a request. Sampling and thinking are told as the version of the model takes them."""
    body: dict[str, Any] = {"model": name, "max_tokens": ask.max_tokens,
                            "messages": [{"role": m.role, "content": blocks(m)} for m in ask.messages]}
    if ask.system:
        body["system"] = [text_block(text) for text in ask.system]
    if ask.tools:
        body["tools"] = [{"name": t.name, "description": t.description, "input_schema": dict(t.schema)} for t in ask.tools]
        body["tools"][-1]["cache_control"] = CACHED
    if len(ask.messages) > 1 and body["messages"][-1]["content"]:      # a conversation grows: its past is read again
        body["messages"][-1]["content"][-1]["cache_control"] = CACHED
    spare_marks([*body.get("tools", ()), *body.get("system", ()), *(b for m in body["messages"] for b in m["content"])])
    body.update(thinking(version(name), ask))
    if ask.temperature is not None and "thinking" not in body and version(name) <= GRADED:
        body["extra_body"] = {"temperature": ask.temperature}
    return body


def thinking(release: tuple[int, int], ask: Ask) -> dict[str, Any]:
    """How thinking is asked for; nothing where none is, or where too few tokens are left to think."""
    if not ask.thinking_tokens:
        return {}
    if release >= GRADED:
        return {"thinking": {"type": "adaptive", "display": "summarized"},
                "output_config": {"effort": wire.effort(ask.thinking_tokens)}}
    tokens = min(max(ask.thinking_tokens, LEAST_THINKING), ask.max_tokens - LEAST_THINKING)
    return {"thinking": {"type": "enabled", "budget_tokens": tokens}} if tokens >= LEAST_THINKING else {}


def version(name: str) -> tuple[int, int]:
    """(4, 6) of claude-opus-4-6, (5, 0) of claude-sonnet-5; of a name without numbers, one that is yet to come."""
    found = re.search(r"-(\d{1,2})(?:-(\d{1,2}))?(?=-|$)", name)
    return (int(found[1]), int(found[2] or 0)) if found else (99, 0)


def spare_marks(content: list[dict[str, Any]]) -> None:
    """Keeps at most four cache marks: the first two stand for what all calls share, the last two for this conversation."""
    marked = [block for block in content if "cache_control" in block]
    for block in marked[2:-2] if len(marked) > MAX_MARKS else ():
        del block["cache_control"]


def text_block(text: Text) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "text", "text": text.text}
    return {**block, "cache_control": CACHED} if text.cached else block


def blocks(message: Message) -> list[dict[str, Any]]:
    """The blocks of a message; empty words and thoughts without a token are not accepted, and left out."""
    return [said for part in message.parts if (said := block(part)) is not None]


def block(part: Part) -> dict[str, Any] | None:
    match part:
        case Text(text=text):
            return text_block(part) if text else None
        case Thinking(text=text, token=token):
            if token.startswith(REDACTED):
                return {"type": "redacted_thinking", "data": token.removeprefix(REDACTED)}
            return {"type": "thinking", "thinking": text, "signature": token} if token else None
        case ToolCall(id=id, name=name):
            return {"type": "tool_use", "id": id, "name": name, "input": wire.arguments(part)}
        case ToolResult(id=id, text=text, failed=failed):
            return {"type": "tool_result", "tool_use_id": id, "content": text, "is_error": failed}


class Draft:
    """An answer while it streams in."""

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.model = ""
        self.stop = ""
        self.ended = False
        self.counts: dict[str, int] = {}
        self.blocks: dict[int, dict[str, str]] = {}      # text, thought, token, arguments by name; `type`, `id`, `name`

    def read(self, events: Iterable[Any]) -> None:
        for event in events:
            match event.type:
                case "message_start":
                    self.model = event.message.model
                    self.count(event.message.usage)
                case "content_block_start":
                    self.blocks[event.index] = opened(event.content_block.to_dict())
                case "content_block_delta":
                    self.add(self.blocks[event.index], event.delta.to_dict())
                case "message_delta":
                    self.stop = event.delta.stop_reason or self.stop
                    self.count(event.usage)
                case "message_stop":
                    self.ended = True

    def count(self, usage: Any) -> None:
        """Counts are running totals; what an event leaves out stays."""
        self.counts.update({name: int(n) for name, n in usage.to_dict().items() if name.endswith("_tokens") and n is not None})

    @staticmethod
    def add(block: dict[str, str], delta: Mapping[str, Any]) -> None:
        for name in ("text", "thinking", "signature", "partial_json"):
            if name in delta:
                block[name] = block.get(name, "") + str(delta[name])

    def take(self, message: Any) -> None:
        """A whole message, as batches give it."""
        self.model, self.stop, self.ended = message.model, message.stop_reason or "", True
        self.blocks = {i: opened(block.to_dict()) for i, block in enumerate(message.content)}
        self.count(message.usage)

    def answer(self, name: str, seconds: float) -> Answer:
        """Raises BrokenAnswer when the stream ended before the answer did."""
        if not self.ended or self.stop not in STOPS:
            raise BrokenAnswer(f"Anthropic's answer stops before its end (stop reason {self.stop or 'none'!r})")
        return Answer(parts=tuple(PARTS[b["type"]](b) for _, b in sorted(self.blocks.items()) if b["type"] in PARTS),
                      stop=STOPS[self.stop], usage=usage(self.counts), model=self.model or name, seconds=seconds,
                      request_id=self.request_id, overloads=wire.overloads())


def opened(block: Mapping[str, Any]) -> dict[str, str]:
    """A block as it starts, or a whole one: its words, and its `input` as text."""
    names = ("type", "text", "thinking", "signature", "data", "id", "name")
    fields = {name: str(block[name]) for name in names if block.get(name)}
    return {**fields, "partial_json": json.dumps(block["input"])} if block.get("input") else fields


PARTS: Mapping[str, Callable[[Mapping[str, str]], Part]] = {
    "text": lambda b: Text(b.get("text", "")),
    "thinking": lambda b: Thinking(b.get("thinking", ""), b.get("signature", "")),
    "redacted_thinking": lambda b: Thinking("", REDACTED + b.get("data", "")),
    "tool_use": lambda b: wire.read_call(b["name"], b["id"], b.get("partial_json", "")),
}


def usage(counts: Mapping[str, int]) -> Usage:
    return Usage(input=counts["input_tokens"], output=counts["output_tokens"],
                 cache_read=counts.get("cache_read_input_tokens", 0), cache_write=counts.get("cache_creation_input_tokens", 0))
