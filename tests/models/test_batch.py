"""Batches through the real SDKs."""
import pytest

from agent.models.base import Answer
from agent.models.batch import ask_batch
from agent.models.registry import make_model
from tests.models.asking import ask, connect
from tests.models.loopback import Loopback, echo, serve
from vortex.errors import CallError, Unavailable

WORDS = ("one", "two", "fail this", "four")


@pytest.mark.parametrize("name", ["claude-haiku-4-5", "gpt-5.5"])
def test_outcomes_come_in_the_order_of_the_asks(name: str) -> None:
    told: list[str] = []
    with serve(Loopback()) as loopback:
        asks = [ask(words, temperature=0.5) for words in WORDS]
        outcomes = ask_batch(connect(name, loopback), asks, on_sent=told.append, poll_s=0.01)
    assert told == ["batch-1"] and not loopback.requests
    for words, outcome in zip(WORDS, outcomes, strict=True):
        if "fail" in words:
            assert isinstance(outcome, CallError)
        else:
            assert isinstance(outcome, Answer) and outcome.text == f"You said: {words}" and outcome.usage == echo(words, {}).usage


@pytest.mark.parametrize("name", ["claude-haiku-4-5", "gpt-5.5"])
def test_a_batch_that_was_sent_is_awaited_and_not_sent_again(name: str) -> None:
    with serve(Loopback()) as loopback:
        model, asks = connect(name, loopback), [ask("one")]
        with pytest.raises(Unavailable, match="not done after"):
            ask_batch(model, asks, poll_s=0.01, limit_s=-1)
        loopback.files.clear()
        outcome, = ask_batch(model, asks, sent="batch-1", poll_s=0.01)
    assert isinstance(outcome, Answer) and len(loopback.batches) == 1


def test_a_model_without_batches_is_asked_one_by_one() -> None:
    with serve(Loopback(fault=lambda n: "400" if n == 1 else "")) as loopback:
        outcomes = ask_batch(connect("openai:local", loopback), [ask(words) for words in WORDS])
    assert [isinstance(outcome, Answer) for outcome in outcomes] == [True, False, True, True]


def test_nothing_to_ask_is_not_sent() -> None:
    assert ask_batch(make_model("claude-haiku-4-5"), []) == ()
