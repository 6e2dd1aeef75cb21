"""Each protocol through its real SDK: words, tools, thinking, counts and stop reasons arrive as they were sent."""
import json

import pytest

from agent.models.base import Answer, Message, Stop, Text, Thinking, ToolCall, ToolResult, Usage
from tests.models.asking import CHECK, KEY, NAMES, ask, connect
from tests.models.loopback import Loopback, serve
from tests.models.protocols import Reply

COUNTS = Usage(input=11, output=7, cache_read=1300, cache_write=17)
CALLS = (ToolCall("call_1", "check", {"source": 'a "quoted" line\n'}), ToolCall("call_2", "check", {}))


def reply_of(name: str, reply: Reply, **changes: object) -> tuple[Answer, Loopback]:
    with serve(Loopback(answer=lambda words, body: reply)) as loopback:
        return connect(name, loopback).ask(ask("hello", **changes)), loopback


def after(answer: Answer) -> tuple[Message, ...]:
    """The conversation in which the tool that `answer` called has answered."""
    result = Message("user", (ToolResult("call_1", "ok"),))
    return Message("user", (Text("go"),)), Message("assistant", answer.parts), result


@pytest.mark.parametrize("name", NAMES)
def test_words_and_counts_arrive(name: str) -> None:
    answer, loopback = reply_of(name, Reply(parts=(Text("Well – a flow: ünïcode"),), usage=COUNTS))
    assert (answer.text, answer.stop, answer.usage) == ("Well – a flow: ünïcode", Stop.END, COUNTS)
    assert answer.request_id == "req-0" and answer.overloads == 0 and answer.seconds > 0
    assert answer.model == name.removeprefix("openai:")
    assert Answer.from_json(json.loads(json.dumps(answer.to_json()))) == answer
    assert loopback.requests[0][2]["stream"] is True


@pytest.mark.parametrize("name", NAMES)
def test_tool_calls_arrive_and_their_results_go_back(name: str) -> None:
    answer, _ = reply_of(name, Reply(parts=(Text("I look."), *CALLS), stop=Stop.TOOLS), tools=(CHECK,))
    assert (answer.calls, answer.stop) == (CALLS, Stop.TOOLS)
    with serve(Loopback()) as loopback:
        results = Message("user", (ToolResult("call_1", "fine"), ToolResult("call_2", "no", failed=True)))
        connect(name, loopback).ask(ask(messages=(Message("user", (Text("go"),)), Message("assistant", answer.parts), results)))
    sent = json.dumps(loopback.requests[0][2])
    assert all(word in sent for word in ("call_1", "call_2", "fine", "I look.", "quoted"))


@pytest.mark.parametrize("name", NAMES)
def test_arguments_that_are_not_json_are_kept_as_they_came(name: str) -> None:
    half = ToolCall("call_1", "check", broken='{"source": "half')
    answer, _ = reply_of(name, Reply(parts=(half,), stop=Stop.TOOLS), tools=(CHECK,))
    assert answer.calls == (half,)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stop", [Stop.LENGTH, Stop.REFUSED])
def test_an_answer_cut_off_or_refused_says_so(name: str, stop: Stop) -> None:
    answer, _ = reply_of(name, Reply(parts=(Text("as far as I"),), stop=stop))
    assert (answer.stop, answer.text) == (stop, "as far as I")


def test_claudes_thoughts_go_back_verbatim() -> None:
    thoughts = (Thinking("hm, pages", "c2ln"), Thinking("", "redacted:b3BhcXVl"), Thinking("", "omitted"))
    answer, _ = reply_of("claude-opus-4-6", Reply(parts=(*thoughts, CALLS[0]), stop=Stop.TOOLS), thinking_tokens=4096)
    assert answer.parts == (*thoughts, CALLS[0])
    with serve(Loopback()) as loopback:
        connect("claude-opus-4-6", loopback).ask(ask(messages=after(answer)))
    assert loopback.requests[0][2]["messages"][1]["content"][:3] == [
        {"type": "thinking", "thinking": "hm, pages", "signature": "c2ln"}, {"type": "redacted_thinking", "data": "b3BhcXVl"},
        {"type": "thinking", "thinking": "", "signature": "omitted"}]


def test_gpts_reasoning_goes_back_as_its_item() -> None:
    answer, first = reply_of("gpt-5.5", Reply(parts=(Thinking("hm", "ZW5j"), CALLS[0]), stop=Stop.TOOLS), thinking_tokens=4096)
    assert first.requests[0][2]["reasoning"] == {"effort": "medium", "summary": "auto"}
    assert isinstance(answer.parts[0], Thinking) and answer.parts[0].text == "hm"
    with serve(Loopback()) as loopback:
        connect("gpt-5.5", loopback).ask(ask(messages=after(answer)))
    body = loopback.requests[0][2]
    assert body["input"][1] == {"type": "reasoning", "id": "item_0", "summary": [{"type": "summary_text", "text": "hm"}],
                                "encrypted_content": "ZW5j"}
    assert [item.get("type") for item in body["input"][2:]] == ["function_call", "function_call_output"]
    assert body["store"] is False


def test_thoughts_that_an_endpoint_shows_are_kept_and_not_sent_back() -> None:
    answer, _ = reply_of("openai:local", Reply(parts=(Thinking("hm, pages"), Text("So."))))
    assert answer.parts == (Thinking("hm, pages"), Text("So."))
    with serve(Loopback()) as loopback:
        messages = (Message("user", (Text("go"),)), Message("assistant", answer.parts), Message("user", (Text("on"),)))
        connect("openai:local", loopback).ask(ask(messages=messages))
    assert "hm, pages" not in json.dumps(loopback.requests[0][2])


@pytest.mark.parametrize("name", NAMES)
def test_the_key_goes_to_the_provider_and_nowhere_else(name: str) -> None:
    with serve(Loopback()) as loopback:
        model = connect(name, loopback)
        answer = model.ask(ask("hello"))
    assert KEY in json.dumps({k.lower(): v for k, v in loopback.requests[0][1].items()})
    assert KEY not in repr(model) + repr(answer) + json.dumps(loopback.requests[0][2])
