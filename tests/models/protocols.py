"""What providers say over the wire, event by event: Anthropic Messages, OpenAI Responses and Chat Completions."""
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.models.base import Part, Stop, Text, Thinking, ToolCall, Usage

Event = tuple[str, Any]                   # name ("" where the protocol names none) and body
PIECE = 7                                 # letters of a piece of streamed text


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a model behind the loopback says, in no protocol's words."""

    parts: tuple[Part, ...]
    stop: Stop = Stop.END
    usage: Usage = field(default_factory=lambda: Usage(input=10, output=5))


def pieces(text: str) -> list[str]:
    return [text[i:i + PIECE] for i in range(0, len(text), PIECE)]


def spoken(call: ToolCall) -> str:
    return call.broken or json.dumps(dict(call.arguments))


# --- Anthropic

ANTHROPIC_STOPS = {Stop.END: "end_turn", Stop.TOOLS: "tool_use", Stop.LENGTH: "max_tokens", Stop.REFUSED: "refusal"}


def anthropic_usage(usage: Usage) -> dict[str, int]:
    return {"input_tokens": usage.input, "cache_creation_input_tokens": usage.cache_write,
            "cache_read_input_tokens": usage.cache_read, "output_tokens": usage.output}


def anthropic_message(reply: Reply, model: str, number: int) -> dict[str, Any]:
    return {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": model, "stop_sequence": None,
            "content": [anthropic_block(part) for part in reply.parts], "stop_reason": ANTHROPIC_STOPS[reply.stop],
            "usage": anthropic_usage(reply.usage)}


def anthropic_block(part: Part) -> dict[str, Any]:
    match part:
        case Text(text=text):
            return {"type": "text", "text": text}
        case Thinking(text=text, token=token) if token.startswith("redacted:"):
            return {"type": "redacted_thinking", "data": token.removeprefix("redacted:")}
        case Thinking(text=text, token=token):
            return {"type": "thinking", "thinking": text, "signature": token}
        case ToolCall(id=id, name=name, arguments=arguments):
            return {"type": "tool_use", "id": id, "name": name, "input": dict(arguments)}
    raise AssertionError(part)


def anthropic_events(reply: Reply, model: str, number: int) -> Iterator[Event]:
    start = {**anthropic_message(reply, model, number), "content": [], "stop_reason": None}
    yield "message_start", {"type": "message_start", "message": {**start, "usage": {**start["usage"], "output_tokens": 1}}}
    yield "ping", {"type": "ping"}
    for index, part in enumerate(reply.parts):
        opening = anthropic_block(part)
        opening.update({name: type(opening[name])() for name in ("text", "thinking", "signature", "input") if name in opening})
        yield "content_block_start", {"type": "content_block_start", "index": index, "content_block": opening}
        for delta in anthropic_deltas(part):
            yield "content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta}
        yield "content_block_stop", {"type": "content_block_stop", "index": index}
    yield "message_delta", {"type": "message_delta", "delta": {"stop_reason": ANTHROPIC_STOPS[reply.stop], "stop_sequence": None},
                            "usage": {"output_tokens": reply.usage.output}}
    yield "message_stop", {"type": "message_stop"}


def anthropic_deltas(part: Part) -> Iterator[dict[str, str]]:
    match part:
        case Text(text=text):
            yield from ({"type": "text_delta", "text": piece} for piece in pieces(text))
        case Thinking(text=text, token=token) if not token.startswith("redacted:"):
            yield from ({"type": "thinking_delta", "thinking": piece} for piece in pieces(text))
            yield {"type": "signature_delta", "signature": token}
        case ToolCall():
            yield from ({"type": "input_json_delta", "partial_json": piece} for piece in pieces(spoken(part)))


# --- OpenAI Responses

def responses_usage(usage: Usage) -> dict[str, Any]:
    prompt = usage.input + usage.cache_read + usage.cache_write
    return {"input_tokens": prompt, "output_tokens": usage.output, "total_tokens": prompt + usage.output,
            "input_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
            "output_tokens_details": {"reasoning_tokens": 0}}


def responses_item(part: Part, index: int, refused: bool) -> dict[str, Any]:
    match part:
        case Text(text=text):
            said = {"type": "refusal", "refusal": text} if refused else {"type": "output_text", "text": text, "annotations": []}
            return {"type": "message", "id": f"item_{index}", "role": "assistant", "status": "completed", "content": [said]}
        case Thinking(text=text, token=token):
            return {"type": "reasoning", "id": f"item_{index}", "encrypted_content": token,
                    "summary": [{"type": "summary_text", "text": text}] if text else []}
        case ToolCall(id=id, name=name):
            return {"type": "function_call", "id": f"item_{index}", "call_id": id, "name": name, "arguments": spoken(part),
                    "status": "completed"}
    raise AssertionError(part)


def responses_body(reply: Reply, model: str, number: int) -> dict[str, Any]:
    cut = reply.stop is Stop.LENGTH
    refused = reply.stop is Stop.REFUSED
    return {"id": f"resp_{number}", "object": "response", "created_at": 0, "model": model, "parallel_tool_calls": True,
            "status": "incomplete" if cut else "completed", "error": None, "tool_choice": "auto", "tools": [],
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "output": [responses_item(part, i, refused) for i, part in enumerate(reply.parts)],
            "usage": responses_usage(reply.usage)}


def responses_events(reply: Reply, model: str, number: int) -> Iterator[Event]:
    body = responses_body(reply, model, number)
    opening = {**body, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    events: list[tuple[str, dict[str, Any]]] = [("response.created", {"response": opening}),
                                                ("response.in_progress", {"response": opening})]
    for index, item in enumerate(body["output"]):
        place = {"output_index": index, "item_id": item["id"]}
        events.append(("response.output_item.added", {"output_index": index, "item": {**item, "status": "in_progress"}}))
        if item["type"] == "message" and "text" in item["content"][0]:
            events += [("response.output_text.delta", {**place, "content_index": 0, "delta": piece, "logprobs": []})
                       for piece in pieces(item["content"][0]["text"])]
        if item["type"] == "function_call":
            events += [("response.function_call_arguments.delta", {**place, "delta": piece})
                       for piece in pieces(item["arguments"])]
        events.append(("response.output_item.done", {"output_index": index, "item": item}))
    events.append(("response.incomplete" if body["incomplete_details"] else "response.completed", {"response": body}))
    for at, (name, event) in enumerate(events):
        yield name, {"type": name, "sequence_number": at, **event}


# --- OpenAI Chat Completions

CHAT_STOPS = {Stop.END: "stop", Stop.TOOLS: "tool_calls", Stop.LENGTH: "length", Stop.REFUSED: "content_filter"}


def chat_events(reply: Reply, model: str, number: int) -> Iterator[Event]:
    def chunk(delta: Mapping[str, Any], finish: str | None = None) -> Event:
        return "", {"id": f"chat_{number}", "object": "chat.completion.chunk", "created": 0, "model": model, "usage": None,
                    "choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]}

    yield chunk({"role": "assistant", "content": ""})
    at = 0
    for part in reply.parts:
        match part:
            case Text(text=text):
                yield from (chunk({"content": piece}) for piece in pieces(text))
            case Thinking(text=text):
                yield from (chunk({"reasoning_content": piece}) for piece in pieces(text))
            case ToolCall(id=id, name=name):
                yield chunk({"tool_calls": [{"index": at, "id": id, "type": "function",
                                             "function": {"name": name, "arguments": ""}}]})
                for piece in pieces(spoken(part)):
                    yield chunk({"tool_calls": [{"index": at, "function": {"arguments": piece}}]})
                at += 1
    yield chunk({}, CHAT_STOPS[reply.stop])
    usage = reply.usage
    prompt = usage.input + usage.cache_read + usage.cache_write
    yield "", {"id": f"chat_{number}", "object": "chat.completion.chunk", "created": 0, "model": model, "choices": [],
               "usage": {"prompt_tokens": prompt, "completion_tokens": usage.output, "total_tokens": prompt + usage.output,
                         "prompt_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write}}}
    yield "", "[DONE]"


STREAMS = {"/v1/messages": anthropic_events, "/v1/responses": responses_events, "/v1/chat/completions": chat_events}


def last_words(path: str, body: Mapping[str, Any]) -> str:
    """What the user, or a tool, said last, in a request of any of the protocols."""
    if path == "/v1/responses":
        item = body["input"][-1]
        return str(item.get("content") or item.get("output"))
    said = body["messages"][-1]["content"]
    if isinstance(said, str):
        return said
    return "\n".join(str(block.get("text") or block.get("content")) for block in said)
