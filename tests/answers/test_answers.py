"""Answers of models: correct ones become flows with their claims, others a problem that says what to change."""
import json

import pytest

from agent.answers import read, read_answer
from agent.judge import load_untrusted
from agent.models.base import Answer, Stop, Text, ToolCall, Usage
from tests.answers.written import Case, cases, refusals
from vortex import child
from vortex.errors import AnswerProblem
from vortex.ir import Geometry

RIGHT, NONE = cases("right"), cases("none")


def case_name(case: Case) -> str:
    return case.name


def answer(*parts: Text | ToolCall, stop: Stop = Stop.END) -> Answer:
    return Answer(parts=parts, stop=stop, usage=Usage(), model="scripted")


def test_the_corpus_is_large() -> None:
    assert len(RIGHT) >= 70
    assert len(RIGHT) + len(NONE) + len(cases("wrong")) >= 150


@pytest.mark.parametrize("case", RIGHT, ids=case_name)
def test_a_correct_answer_becomes_flows(case: Case) -> None:
    found = read_answer(case.answer)
    assert len(found) == int(case.settings.get("flows", 1))
    assert refusals([flow.source for flow in found]) == []
    if "names" in case.settings:
        assert [flow.name for flow in found] == case.settings["names"].split(",")


def test_they_load_in_the_limited_child() -> None:
    sources = [flow.source for case in RIGHT for flow in read_answer(case.answer)]
    assert child.run(refusals, sources, wall_s=60, memory_bytes=2 << 30) == []
    record, refusal = load_untrusted("first", sources[0], Geometry())
    assert refusal is None
    assert record.graph is not None


@pytest.mark.parametrize("case", [case for case in RIGHT if "claim" in case.settings], ids=case_name)
def test_its_claim_is_read(case: Case) -> None:
    for flow in read_answer(case.answer):
        claim = flow.hypothesis
        assert claim is not None
        assert claim.mechanism
        assert claim.prediction
        assert claim.refuted_by


@pytest.mark.parametrize("case", NONE, ids=case_name)
def test_an_answer_without_a_flow_says_why(case: Case) -> None:
    with pytest.raises(AnswerProblem) as problem:
        read_answer(case.answer)
    assert case.settings["says"].replace("_", " ") in problem.value.message
    assert problem.value.hint


def test_claims_go_with_their_flows() -> None:
    found = {flow.name: flow for case in RIGHT if "four orthogonal" in case.title for flow in read_answer(case.answer)}
    told = {name: flow.hypothesis.prediction[0] for name, flow in found.items() if flow.hypothesis is not None}
    assert told == {"v1": ("accuracy", "up", 0.01), "v2": ("accuracy", "up", 0.02), "v3": ("accuracy", "down", 0.01),
                    "v4": ("accuracy", "same", None)}


def test_a_cut_answer_keeps_what_was_whole_and_says_so() -> None:
    case = next(case for case in RIGHT if case.settings.get("stop") == "length")
    reading = read(case.answer)
    assert [flow.name for flow in reading.found] == ["kept"]
    assert "cut off" in reading.problems[0].message


def test_calls_count_and_not_the_words_beside_them() -> None:
    source = next(case for case in RIGHT if case.arguments).arguments["source"]
    call = ToolCall("c7", "submit", {"name": "called", "source": source})
    found = read_answer(answer(Text("```python\nfrom vortex import vFlow\nclass X(vFlow): ...\n```"), call, stop=Stop.TOOLS))
    assert [(flow.name, flow.call) for flow in found] == [("called", "c7")]


def test_other_tools_are_not_read() -> None:
    with pytest.raises(AnswerProblem, match="empty"):
        read_answer(answer(ToolCall("c1", "check", {"source": "class X(vFlow): ..."}), stop=Stop.TOOLS))


@pytest.mark.parametrize("text", ["`" * 20_000, "```python\n" * 5_000, ('"""\n```\n' * 3_000), "Mechanism: " * 20_000,
                                  "-" * 50_000 + "\nPrediction " + " " * 50_000, "```json\n" + "[" * 50_000 + "\n```",
                                  "\\" * 30_000, "```python\nclass X(vFlow):\n" + "'" * 40_000 + "\n```"])
def test_odd_texts_are_read_in_time(text: str) -> None:
    reading = read(answer(Text(text)))
    assert bool(reading.found) != bool(reading.problems)


def test_a_problem_is_told_as_json() -> None:
    with pytest.raises(AnswerProblem) as problem:
        read_answer(answer(Text("Here:\n\nfrom vortex import vFlow\nclass X(vFlow):\n    pass\n")))
    told = json.loads(json.dumps(problem.value.to_json()))
    assert (told["code"], told["path"], told["line"]) == ("AnswerProblem", "answer", 3)
    assert told["fix"]["new"].startswith("```python\n")
