"""Mistakes of models: each is refused with words that say what to change, and the edits that refusals propose mend most."""
import pytest

from agent.answers import read_answer
from agent.models.base import Answer, Ask, Message, Stop, Text, ToolCall, ToolResult, Usage
from agent.repair import mended, repaired
from tests.answers.written import Case, cases, first_refusal, left, refusal
from vortex.errors import AnswerProblem, Fix, FlowError, VortexError, Where

WRONG = cases("wrong")
LEAST = 0.9               # of all mistakes, those among them that no edit mends included


def case_name(case: Case) -> str:
    return case.name


@pytest.mark.parametrize("case", WRONG, ids=case_name)
def test_a_mistake_is_refused_with_what_to_change(case: Case) -> None:
    error = first_refusal(case)
    assert error is not None
    assert error.message
    assert error.hint or error.fix
    if "code" in case.settings:
        assert error.code == case.settings["code"]


def test_the_edits_of_refusals_mend_nine_of_ten() -> None:
    unmended = [case for case in WRONG if left(case) is not None]
    rate = 1 - len(unmended) / len(WRONG)
    print(f"\nscripted repair: {rate:.1%} of {len(WRONG)} mistakes")
    assert rate >= LEAST, [case.name for case in unmended]


@pytest.mark.parametrize("case", [case for case in WRONG if "by-hand" not in case.settings], ids=case_name)
def test_a_mistake_of_a_few_edits_is_mended(case: Case) -> None:
    error = left(case)
    assert error is None, error.report() if error else ""


def test_mending_stops_where_an_edit_does_not_help() -> None:
    same = FlowError("no", where=Where("x", 1, "a"), fix=Fix("a", "aa", line=1))
    assert mended("a", lambda text: same, most=3) == ("aa", same)        # "aa" holds "a" twice: no edit any more
    assert mended("b", lambda text: FlowError("no")) [0] == "b"
    assert mended("b", lambda text: None) == ("b", None)


class Scripted:
    """Answers in their order, and what was asked."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)
        self.asked: list[tuple[str, Ask]] = []

    def ask(self, key: str, ask: Ask) -> Answer:
        self.asked.append((key, ask))
        return answered(self.texts.pop(0))


def answered(text: str) -> Answer:
    return Answer(parts=(Text(text),), stop=Stop.END, usage=Usage(), model="scripted")


FLOW = '''```python
from vortex import ops, register, vFlow


@register("mean-key")
class MeanKey(vFlow):
    def forward_cache(self, cache):
        cache["c"] = cache["k"].mean(dim=1)

    def forward_indexer(self, q, cache):
        return ops.topk(q.mean(dim=1) @ cache["c"].T)
```'''
BROKEN = FLOW.replace("ops.topk", "ops.topkk")
ASK = Ask(system=(Text("You design flows."),), messages=(Message("user", (Text("Go on."),)),))


def test_a_refusal_goes_back_in_the_same_conversation() -> None:
    first, caller = answered("Mechanism: it points the way\n\n" + BROKEN), Scripted(FLOW)
    (found,) = read_answer(first)
    error = refusal(found.source)
    assert error is not None
    end = repaired(caller, ASK, first, error, "round 1/one-shot", check=lambda flow: refusal(flow.source), found=found)
    assert end.refusal is None
    assert end.turns == 1
    assert end.found is not None
    assert end.found.hypothesis == found.hypothesis
    ((key, asked),) = caller.asked
    assert key == "round 1/one-shot/repair 1"
    assert asked.messages[:2] == (*ASK.messages, Message("assistant", first.parts))
    (said,) = asked.messages[2].parts
    assert isinstance(said, Text)
    assert "ops.topkk" in said.text
    assert "+ ops.topk" in said.text


def test_repair_ends_after_two_turns_with_the_last_refusal() -> None:
    caller = Scripted(FLOW.replace("ops.topk", "ops.top_kk"), FLOW.replace('cache["c"].T', 'cache["d"].T'))
    (found,) = read_answer(answered(BROKEN))
    end = repaired(caller, ASK, answered(BROKEN), FlowError("no"), "k", check=lambda flow: refusal(flow.source), found=found)
    assert end.turns == 2
    assert end.refusal is not None
    assert end.refusal.code == "FieldError"
    assert len(end.ask.messages) == 5


def test_a_model_that_repeats_itself_is_not_asked_again() -> None:
    caller = Scripted(BROKEN, FLOW)
    (found,) = read_answer(answered(BROKEN))
    end = repaired(caller, ASK, answered(BROKEN), FlowError("no"), "k", check=lambda flow: refusal(flow.source), found=found)
    assert end.turns == 1
    assert end.refusal is not None


def test_words_without_a_flow_are_refused_as_such() -> None:
    end = repaired(Scripted("Sorry.", FLOW), ASK, answered("Hm."), AnswerProblem("no flow"), "k",
                   check=lambda flow: refusal(flow.source))
    assert end.refusal is None
    assert end.turns == 2


def test_every_call_of_a_tool_has_a_result() -> None:
    calls = (ToolCall("a", "submit", {"source": "x"}), ToolCall("b", "submit", {"source": "y"}))
    caller = Scripted(FLOW)
    repaired(caller, ASK, Answer(parts=calls, stop=Stop.TOOLS, usage=Usage(), model="m"), FlowError("wrong"), "k",
             check=lambda flow: None)
    results = caller.asked[0][1].messages[-1].parts
    assert [(part.id, part.failed) for part in results if isinstance(part, ToolResult)] == [("a", True), ("b", False)]


def test_refusals_of_answers_are_errors_of_ours() -> None:
    assert issubclass(AnswerProblem, VortexError)
