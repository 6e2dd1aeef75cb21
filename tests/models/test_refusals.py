"""Every fault of a provider, through the real SDKs: mended by a further try, or one clear error that carries no key."""
import json
import sys
import traceback

import pytest

from agent.models.registry import make_model
from tests.models.asking import KEY, NAMES, ask, connect
from tests.models.loopback import TRANSIENT, Loopback, serve
from vortex.errors import (
    BrokenAnswer,
    CallError,
    KeyRefused,
    MissingExtra,
    MissingKey,
    Unavailable,
    UnknownLanguageModel,
)

KINDS = {"401": (KeyRefused, "does not accept the key"), "403": (KeyRefused, "does not accept the key"),
         "404": (UnknownLanguageModel, "does not know the model"), "400": (CallError, "refuses the request"),
         "quota": (KeyRefused, "has no credit left"), "429": (Unavailable, "through all retries"),
         "500": (Unavailable, "through all retries"), "529": (Unavailable, "through all retries"),
         "drop": (Unavailable, "cannot be reached"), "cut": (BrokenAnswer, "broke off while it answered"),
         "event": (BrokenAnswer, "ended its answer with an error"),
         "page": (BrokenAnswer, "stops before its end"),
         "malformed": (BrokenAnswer, "protocol does not know"), "truncated": (BrokenAnswer, "stops before its end")}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fault", KINDS)
def test_a_fault_that_stays_is_one_clear_error(name: str, fault: str) -> None:
    error_class, said = KINDS[fault]
    with serve(Loopback(fault=lambda n: fault)) as loopback, pytest.raises(error_class, match=said) as caught:
        connect(name, loopback, max_retries=0).ask(ask("hello"))
    assert type(caught.value) is error_class
    assert KEY not in caught.value.report() + json.dumps(dict(caught.value.to_json())) + repr(caught.value)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fault", ["429", "500", "529", "drop"])
def test_the_sdk_tries_again_before_an_answer_has_begun(name: str, fault: str) -> None:
    with serve(Loopback(fault=lambda n: fault if n == 0 else "")) as loopback:
        answer = connect(name, loopback).ask(ask("hello"))
    assert answer.text == "You said: hello" and len(loopback.requests) == 2 and len(loopback.delivered) == 1
    assert answer.overloads == (fault in ("429", "529"))


@pytest.mark.parametrize("name", NAMES)
def test_the_sdk_waits_as_long_as_it_is_told(name: str) -> None:
    with serve(Loopback(fault=lambda n: "429" if n == 0 else "", retry_after="1")) as loopback:
        assert connect(name, loopback).ask(ask("hello")).seconds >= 1.0


@pytest.mark.parametrize("name", NAMES)
def test_no_traceback_shows_the_key_that_a_provider_repeats(name: str) -> None:
    with serve(Loopback(fault=lambda n: "400")) as loopback, pytest.raises(CallError) as caught:
        connect(name, loopback).ask(ask("hello"))
    assert "you said Bearer ***" in caught.value.message
    assert KEY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("url", ["localhost:8000", "ftp://files", "http://"])
def test_an_address_that_is_none(name: str, url: str) -> None:
    with pytest.raises(UnknownLanguageModel, match="the base URL"):
        make_model(name, url)


@pytest.mark.parametrize("name", NAMES)
def test_what_broke_within_an_answer_is_left_to_the_pace(name: str) -> None:
    with serve(Loopback(fault=lambda n: "cut")) as loopback, pytest.raises(BrokenAnswer):
        connect(name, loopback).ask(ask("hello"))
    assert len(loopback.requests) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_slow_drip_is_an_answer(name: str) -> None:
    with serve(Loopback(fault=lambda n: "drip")) as loopback:
        assert connect(name, loopback).ask(ask("hello")).text == "You said: hello"


@pytest.mark.parametrize("name", NAMES)
def test_a_drip_that_never_ends_is_given_up(name: str) -> None:
    with serve(Loopback(fault=lambda n: "drip", drip_s=0.05)) as loopback:
        model = connect(name, loopback)
        object.__setattr__(model, "limit_s", 0.1)
        with pytest.raises(BrokenAnswer, match="not complete after"):
            model.ask(ask("a long story " * 20))


@pytest.mark.parametrize(("name", "variable"), [("claude-opus-4-6", "ANTHROPIC_API_KEY"), ("gpt-5.5", "OPENAI_API_KEY"),
                                                ("openai:local", "OPENAI_API_KEY")])
def test_a_missing_key_names_its_variable(name: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, " ")
    with pytest.raises(MissingKey, match=f"{variable} is not set"):
        make_model(name)


@pytest.mark.parametrize("name", NAMES)
def test_nobody_at_the_address(name: str) -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        make_model(name, max_retries=0).ask(ask("hello"))


def test_a_name_that_no_provider_has() -> None:
    with pytest.raises(UnknownLanguageModel, match="no provider is known"):
        make_model("llama-at-home")


@pytest.mark.parametrize(("name", "package"), [("claude-opus-4-6", "anthropic"), ("gpt-5.5", "openai")])
def test_an_sdk_that_is_not_installed(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [m for m in sys.modules if m.startswith(("agent.models.claude", "agent.models.gpt", "agent.models.chat"))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match="needs the package"):
        make_model(name)


def test_every_passing_fault_was_tried() -> None:
    assert set(TRANSIENT) - {"drip"} <= set(KINDS)
