"""What was said between the platform and a model, from the first words to the last, each once."""
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from search.store.calls import CallRecord

MOST = 4000                           # characters of one part


def transcript(records: Sequence[CallRecord], most: int = MOST) -> str:
    """The answered calls in their order; of each question only what was not said in the call before it."""
    lines: list[str] = []
    before: list[Any] = []
    system: Any = None
    for record in records:
        if record.answer is None:
            continue
        lines.append(f"=== {record.key}")
        if record.ask["system"] != system:
            system = record.ask["system"]
            lines += ["--- system", *(_shown(part["text"], most) for part in system)]
        messages = record.ask["messages"]
        known = len(before) if messages[:len(before)] == before else 0
        lines += _told(messages[known:], most)
        said = {"role": "assistant", "parts": record.answer["parts"]}
        lines += _told([said], most)
        before = [*messages, said]
    return "\n".join(lines)


def _told(messages: Sequence[Mapping[str, Any]], most: int) -> Iterator[str]:
    for message in messages:
        yield f"--- {message['role']}"
        yield from (_part(part, most) for part in message["parts"])


def _part(part: Mapping[str, Any], most: int) -> str:
    match part["kind"]:
        case "thinking":
            return f"(thinks) {_shown(part['text'], most)}"
        case "call":
            arguments = part["broken"] or json.dumps(part["arguments"], ensure_ascii=False, sort_keys=True)
            return f"(calls {part['name']}) {_shown(arguments, most)}"
        case "result":
            return f"({'failed' if part['failed'] else 'told'}) {_shown(part['text'], most)}"
    return _shown(part["text"], most)


def _shown(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]} ... {len(text) - most:,} more characters"
