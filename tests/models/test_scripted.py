"""A model that reads its answers from a file."""
import json
from pathlib import Path

import pytest

from agent.models.base import Answer, Stop, Text, Thinking, ToolCall, ToolResult, Usage
from agent.models.registry import make_model
from agent.models.scripted import Scripted
from tests.models.asking import ask
from vortex.errors import ScriptEnded, Unavailable, UnknownLanguageModel

TOML = '''
[[answer]]
text = "first"
[[answer]]
when = "round 3"
text = """```python
flow
```"""
[[answer]]
thinking = "hm"
calls = [{ name = "check", arguments = { source = "x" } }]
usage = { input = 100, output = 20, cache_read = 900 }
[[answer]]
text = "as far as"
stop = "length"
'''


def script(folder: Path, text: str, name: str = "answers.toml") -> Scripted:
    (folder / name).write_text(text)
    model = make_model(f"scripted:{folder / name}")
    assert isinstance(model, Scripted)
    return model


def test_answers_come_in_order_or_when_they_fit(tmp_path: Path) -> None:
    model = script(tmp_path, TOML)
    answers = [model.ask(ask(words)) for words in ("hello", "now round 3", "round 3 again", "on")]
    assert [answer.text for answer in answers] == ["first", "```python\nflow\n```", "", "as far as"]
    assert [answer.stop for answer in answers] == [Stop.END, Stop.END, Stop.TOOLS, Stop.LENGTH]
    assert answers[2].parts == (Thinking("hm"), ToolCall("call 3.1", "check", {"source": "x"}))
    assert answers[2].usage == Usage(input=100, output=20, cache_read=900)
    assert answers[0].usage.output == 2 and answers[0].usage.input > 10


def test_the_words_of_a_tool_are_looked_at_as_well(tmp_path: Path) -> None:
    model = script(tmp_path, json.dumps({"when": "Shape.*", "text": "mended"}), "a.jsonl")
    assert model.ask(ask(ToolResult("c", "ShapeMismatch"))).text == "mended"


def test_a_script_that_ends_says_so(tmp_path: Path) -> None:
    model = script(tmp_path, '{"text": "only"}\n\n', "a.jsonl")
    model.ask(ask("hello"))
    with pytest.raises(ScriptEnded, match="has no answer left: 1 in the file, 1 given"):
        model.ask(ask("hello"))


def test_an_answer_may_be_given_for_ever_or_be_an_error(tmp_path: Path) -> None:
    model = script(tmp_path, '{"text": "down", "error": "Unavailable"}\n{"text": "same", "repeat": true}', "a.jsonl")
    with pytest.raises(Unavailable, match="down"):
        model.ask(ask("hello"))
    assert {model.ask(ask("hello")).text for _ in range(5)} == {"same"}


def test_answers_that_an_earlier_run_kept_are_not_given_again(tmp_path: Path) -> None:
    kept = [script(tmp_path, TOML).ask(ask("hello"))]
    model = script(tmp_path, TOML)
    for answer in kept:
        model.remember(Answer.from_json(answer.to_json()))
    assert model.ask(ask("hello")).stop is Stop.TOOLS


@pytest.mark.parametrize(("text", "name", "said"), [
    ("{", "a.jsonl", "not an answer"), ('{"txt": "x"}', "a.jsonl", "txt: Extra inputs"),
    ('{"when": "("}', "a.jsonl", "not an answer"), ('{"usage": {"inputs": 3}}', "a.jsonl", "not an answer"),
    ('{"error": "Fix"}', "a.jsonl", "is no CallError"), ("[[answer", "a.toml", "not an answer"),
    ('[[answer]]\nstop = "soon"', "a.toml", "stop: Input should be")])
def test_a_file_that_holds_something_else_says_where(text: str, name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("\n" + text)
    with pytest.raises(UnknownLanguageModel, match=said) as caught:
        make_model(f"scripted:{tmp_path / name}")
    assert caught.value.where.path.endswith(name) and caught.value.where.line == (2 if name.endswith("jsonl") else 0)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(UnknownLanguageModel, match="no answers can be read"):
        make_model("scripted:/nowhere/answers.jsonl")


def test_the_text_of_an_answer_is_a_part(tmp_path: Path) -> None:
    assert script(tmp_path, TOML).ask(ask("x")).parts == (Text("first"),)
