"""OpenAI's Responses: requests that keep nothing with the provider, answers assembled from the stream."""
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import openai

from agent.models import wire
from agent.models.base import Answer, Ask, Message, Part, Stop, Text, Thinking, ToolCall, ToolResult, Usage
from vortex.errors import BrokenAnswer

LEAST_OUTPUT = 16
STEADY = ("gpt-3", "gpt-4", "chatgpt-")               # do not reason, and take a temperature


@dataclass(frozen=True)
class Gpt:
    """A model of OpenAI."""

    name: str
    who: wire.Provider
    client: openai.OpenAI = field(repr=False)
    limit_s: float = wire.LIMIT_S

    def ask(self, ask: Ask) -> Answer:
        start = time.monotonic()
        wire.overloads()
        with wire.refusals(self.who, self.name):
            create: Any = self.client.responses.create
            with create(**request(self.name, ask), stream=True) as stream:
                request_id = str(stream.response.headers.get("x-request-id", ""))
                response, items = last(wire.timely(self.who, stream, self.limit_s), self.who)
            return answer(response, items, time.monotonic() - start, request_id)


def client(base_url: str | None, max_retries: int) -> tuple[wire.Provider, openai.OpenAI]:
    """Raises MissingKey. `base_url` goes before OPENAI_BASE_URL, and that before the provider's own."""
    base_url = base_url or os.environ.get("OPENAI_BASE_URL") or None
    who = wire.provider("OpenAI", "OPENAI_API_KEY", openai, base_url)
    http = openai.DefaultHttpxClient(timeout=wire.TIMEOUT, event_hooks={"response": [wire.hear]})
    return who, openai.OpenAI(api_key=who.key, base_url=base_url, max_retries=max_retries, timeout=wire.TIMEOUT, http_client=http)


def connect(name: str, base_url: str | None = None, max_retries: int = 4, limit_s: float = wire.LIMIT_S) -> Gpt:
    """Raises MissingKey."""
    return Gpt(name, *client(base_url, max_retries), limit_s)


def request(name: str, ask: Ask) -> dict[str, Any]:
    """The body of a request. Nothing is stored there, so what was thought comes back encrypted and is said again."""
    steady = name.startswith(STEADY)
    system = "\n\n".join(text.text for text in ask.system)
    body: dict[str, Any] = {"model": name, "input": [item for message in ask.messages for item in items(message)],
                            "max_output_tokens": max(ask.max_tokens, LEAST_OUTPUT), "store": False,
                            "prompt_cache_key": hashlib.blake2b(system.encode(), digest_size=8).hexdigest()}
    if system:
        body["instructions"] = system
    if ask.tools:
        body["tools"] = [{"type": "function", "name": t.name, "description": t.description, "parameters": dict(t.schema),
                          "strict": False} for t in ask.tools]
    if not steady:
        body["include"] = ["reasoning.encrypted_content"]
    if ask.thinking_tokens and not steady:
        body["reasoning"] = {"effort": wire.effort(ask.thinking_tokens), "summary": "auto"}
    if ask.temperature is not None and steady:
        body["temperature"] = ask.temperature
    return body


def items(message: Message) -> Iterator[dict[str, Any]]:
    """A message as items of a conversation, in their order."""
    for part in message.parts:
        match part:
            case Text(text=text) if text:
                yield {"role": message.role, "content": text}
            case Thinking(token=token) if token:
                yield json.loads(token)
            case ToolCall(id=id, name=name):
                yield {"type": "function_call", "call_id": id, "name": name, "arguments": json.dumps(wire.arguments(part))}
            case ToolResult(id=id, text=text):
                yield {"type": "function_call_output", "call_id": id, "output": text}


def last(events: Iterable[Any], who: wire.Provider) -> tuple[Any, list[Any]]:
    """The response as it ended and its items, each in the form that is complete. Raises CallError."""
    done: dict[int, Any] = {}
    for event in events:
        match event.type:
            case "response.output_item.done":
                done[event.output_index] = event.item
            case "response.completed" | "response.incomplete":
                return event.response, [done[i] for i in sorted(done)] or list(event.response.output)
            case "response.failed":
                raise wire.stream_refusal(who, event.response.error.code, event.response.error.message)
            case "error":
                raise wire.stream_refusal(who, event.code or "", event.message)
    raise BrokenAnswer("OpenAI's answer stops before its end")


def answer(response: Any, output: Iterable[Any], seconds: float, request_id: str = "") -> Answer:
    """The answer that a finished response stands for. Raises BrokenAnswer."""
    found: list[Part] = []
    refused = False
    for item in output:
        if item.type == "message":
            refused = refused or any(content.type == "refusal" for content in item.content)
        found.extend(parts(item))
    why = response.incomplete_details.reason if response.incomplete_details else ""
    refused = refused or why == "content_filter"
    if response.usage is None:
        raise BrokenAnswer("OpenAI's answer does not say how many tokens it took")
    if response.status == "incomplete":
        stop = Stop.REFUSED if refused else Stop.LENGTH
    else:
        stop = Stop.REFUSED if refused else Stop.TOOLS if any(isinstance(p, ToolCall) for p in found) else Stop.END
    return Answer(parts=tuple(found), stop=stop, usage=usage(response.usage.to_dict()), model=response.model, seconds=seconds,
                  request_id=request_id, overloads=wire.overloads())


def parts(item: Any) -> Iterator[Part]:
    match item.type:
        case "message":
            for content in item.content:
                yield Text(content.refusal if content.type == "refusal" else content.text)
        case "reasoning":
            kept = {"type": "reasoning", "id": item.id, "summary": [s.to_dict() for s in item.summary],
                    "encrypted_content": item.encrypted_content}
            yield Thinking("\n\n".join(s.text for s in item.summary), json.dumps(kept) if item.encrypted_content else "")
        case "function_call":
            yield wire.read_call(item.name, item.call_id, item.arguments)


def usage(counts: Mapping[str, Any]) -> Usage:
    """Tokens of a response, or of a chat; those of the cache are part of the provider's count of the input."""
    prompt, output = ("input_tokens", "output_tokens") if "input_tokens" in counts else ("prompt_tokens", "completion_tokens")
    details = counts.get(f"{prompt}_details") or {}
    read, write = int(details.get("cached_tokens") or 0), int(details.get("cache_write_tokens") or 0)
    return Usage(input=max(0, int(counts[prompt]) - read - write), output=int(counts[output]), cache_read=read, cache_write=write)
