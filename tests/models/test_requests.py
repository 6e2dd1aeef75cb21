"""What is asked for, by the versions of models: cache marks, thinking, sampling, shared prefixes."""
from typing import Any

import pytest

from agent.models.base import Ask, Message, Text, ToolCall, ToolResult
from agent.models.claude import request as claude_request
from agent.models.claude import version
from agent.models.gpt import request as gpt_request
from tests.models.asking import CHECK, ask

LONG = Ask(system=(Text("task", cached=True), Text("reference", cached=True), Text("flows", cached=True)), tools=(CHECK, CHECK),
           messages=(Message("user", (Text("round", cached=True), Text("now"))),
                     Message("assistant", (Text(""), ToolCall("c1", "check", broken="{"))),
                     Message("user", (ToolResult("c1", "no", failed=True),))))


def marks(body: dict[str, Any]) -> list[str]:
    content = [*body.get("tools", ()), *body["system"], *(block for message in body["messages"] for block in message["content"])]
    return [str(block.get("text") or block.get("name") or block["type"]) for block in content if "cache_control" in block]


def test_at_most_four_marks_first_what_all_share_and_last_what_this_conversation_repeats() -> None:
    assert marks(claude_request("claude-opus-5-5", LONG)) == ["check", "task", "round", "tool_result"]
    assert marks(claude_request("claude-opus-5-5", ask("hello"))) == ["You design flows."]


def test_empty_words_are_left_out_and_broken_arguments_are_an_object() -> None:
    assert claude_request("claude-opus-5-5", LONG)["messages"][1]["content"] == [
        {"type": "tool_use", "id": "c1", "name": "check", "input": {"unreadable": "{"}}]


@pytest.mark.parametrize(("name", "release"), [
    ("claude-opus-4-6", (4, 6)), ("claude-haiku-4-5-20251001", (4, 5)), ("claude-sonnet-5", (5, 0)), ("claude-fable-5-1", (5, 1)),
    ("claude-opus-4-20250514", (4, 0)), ("claude-next", (99, 0))])
def test_the_version_of_a_name(name: str, release: tuple[int, int]) -> None:
    assert version(name) == release


@pytest.mark.parametrize(("name", "tokens", "most", "thinking"), [
    ("claude-sonnet-5-5", 0, 8192, None),
    ("claude-sonnet-5-5", 1500, 8192, {"type": "adaptive", "display": "summarized"}),
    ("claude-haiku-4-5", 4096, 8192, {"type": "enabled", "budget_tokens": 4096}),
    ("claude-haiku-4-5", 100, 8192, {"type": "enabled", "budget_tokens": 1024}),
    ("claude-haiku-4-5", 9000, 4096, {"type": "enabled", "budget_tokens": 3072}),
    ("claude-haiku-4-5", 9000, 1500, None)])
def test_thinking_is_told_as_the_version_takes_it(name: str, tokens: int, most: int, thinking: object) -> None:
    assert claude_request(name, ask("hello", thinking_tokens=tokens, max_tokens=most)).get("thinking") == thinking


@pytest.mark.parametrize(("tokens", "grade"), [(1024, "low"), (8192, "medium"), (20000, "high")])
def test_tokens_to_think_become_a_grade_of_effort(tokens: int, grade: str) -> None:
    assert claude_request("claude-opus-5-5", ask("x", thinking_tokens=tokens))["output_config"] == {"effort": grade}
    assert gpt_request("gpt-6.1-sol", ask("x", thinking_tokens=tokens))["reasoning"]["effort"] == grade


def test_a_temperature_goes_to_models_that_take_one() -> None:
    warm = ask("x", temperature=0.3)
    assert claude_request("claude-haiku-4-5", warm)["extra_body"] == {"temperature": 0.3}
    assert "extra_body" not in claude_request("claude-opus-5-5", warm)
    assert gpt_request("gpt-4.1", warm)["temperature"] == 0.3
    assert "temperature" not in gpt_request("gpt-6-sol", warm)


def test_calls_with_one_prefix_share_a_cache_key() -> None:
    assert gpt_request("gpt-5.5", ask("a"))["prompt_cache_key"] == gpt_request("gpt-5.5", ask("b"))["prompt_cache_key"]
    other = ask("a", system=(Text("You repair flows."),))
    assert gpt_request("gpt-5.5", ask("a"))["prompt_cache_key"] != gpt_request("gpt-5.5", other)["prompt_cache_key"]
