"""Prices: dated, overridden by a file of the user's, and never guessed."""
import tomllib
from datetime import date
from importlib.resources import files
from pathlib import Path

import pytest

from agent.models.base import Usage
from agent.models.prices import Price, cost, price, prices
from vortex.errors import Unpriced


def test_the_file_is_dated_and_says_where_it_is_from() -> None:
    body = tomllib.loads(files("agent.models").joinpath("prices.toml").read_text())
    assert date.fromisoformat(body["date"]) >= date(2026, 11, 1)
    assert all(source.startswith("https://") for source in body["sources"])


@pytest.mark.parametrize("name", sorted(prices()))
def test_a_price_is_plausible(name: str) -> None:
    rate = price(name)
    assert 0 < rate.cache_read < rate.input < rate.output and rate.batch == 0.5
    assert rate.input <= rate.cache_write <= 2 * rate.input
    if rate.long is not None:
        assert rate.above >= 100_000 and rate.long.input > rate.input and rate.long.output > rate.output
        assert rate.long.cache_read > rate.cache_read and rate.long.cache_write > rate.cache_write


@pytest.mark.parametrize(("name", "base"), [("claude-haiku-4-5-20251001", "claude-haiku-4-5"), ("gpt-5.5-2026-04-23", "gpt-5.5")])
def test_a_dated_name_has_the_price_of_its_model(name: str, base: str) -> None:
    assert price(name) == price(base)


@pytest.mark.parametrize("name", ["gpt-7", "claude-opus-99", "openai:gpt-5.5", "openai:local", "gpt-5.5-turbo"])
def test_a_model_without_a_price_is_an_error_that_says_what_to_do(name: str) -> None:
    with pytest.raises(Unpriced, match="has no price") as caught:
        price(name)
    assert "VORTEX_PRICES" in caught.value.hint and name in caught.value.hint


def test_a_scripted_model_costs_nothing() -> None:
    assert cost(Usage(input=10**9, output=10**9), price("scripted:answers.jsonl")) == 0


def test_a_call_is_counted_to_the_token() -> None:
    usage = Usage(input=1000, output=100, cache_read=10_000, cache_write=500)
    rate = Price(3.0, 15.0, 0.3, 3.75, batch=0.5)
    assert cost(usage, rate) == pytest.approx((3000 + 1500 + 3000 + 1875) / 1e6)
    assert cost(usage, rate, batch=True) == pytest.approx(cost(usage, rate) / 2)


@pytest.mark.parametrize(("read", "rate"), [(99_000, 1.0), (99_001, 2.0)])
def test_a_prompt_beyond_the_bound_pays_more_for_all_of_it(read: int, rate: float) -> None:
    long = Price(2.0, 2.0, 2.0, 2.0)
    usage = Usage(input=1000, output=10, cache_read=read)
    assert cost(usage, Price(1.0, 1.0, 1.0, 1.0, above=100_000, long=long)) == pytest.approx((1010 + read) * rate / 1e6)


def test_a_file_of_the_users_own_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "prices.toml"
    own.write_text('[models]\n"openai:local" = {input = 0, output = 0}\n"gpt-5.5" = {input = 1, output = 2, cache_read = 0.5}\n')
    monkeypatch.setenv("VORTEX_PRICES", str(own))
    assert price("openai:local") == Price(0, 0, 0, 0)
    assert price("gpt-5.5") == Price(1, 2, 0.5, 1)
    assert price("claude-opus-5-5").output == 20


@pytest.mark.parametrize(("text", "said"), [
    ("[models.x]\ninput = 1\n", "output: Field required"), ("[models.x]\ninput = -1\noutput = 1\n", "greater than or equal to 0"),
    ("[models.x]\ninput = 1\noutput = 1\ncached = 1\n", "Extra inputs"), ("[models", "not TOML")])
def test_a_price_file_that_cannot_be_used_says_why(text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "prices.toml"
    own.write_text(text)
    monkeypatch.setenv("VORTEX_PRICES", str(own))
    with pytest.raises(Unpriced, match=said) as caught:
        price("gpt-5.5")
    assert caught.value.where.path == str(own)


def test_a_price_file_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VORTEX_PRICES", "/nowhere/prices.toml")
    with pytest.raises(Unpriced, match="cannot be read"):
        price("gpt-5.5")
