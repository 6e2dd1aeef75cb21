"""Poisson arrivals: the same for the same seed, at the rate that was asked for."""
import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vortex.errors import EngineError
from vortex.serving.load.traffic import FIRST_ID, Traffic

USUAL = {"rate": 2.0, "requests": 50, "prompt_tokens": (3, 9), "output_tokens": 4, "vocabulary": 40}


@given(seed=st.integers(0, 10_000), rate=st.floats(0.01, 1e3), shortest=st.integers(1, 9), more=st.integers(0, 9))
def test_asks_are_in_order_and_within_their_bounds(seed: int, rate: float, shortest: int, more: int) -> None:
    traffic = Traffic(**{**USUAL, "seed": seed, "rate": rate, "prompt_tokens": (shortest, shortest + more)})
    asks = list(traffic.asks())
    assert asks == list(traffic.asks())
    assert asks[0].at_s == 0 and all(a.at_s <= b.at_s for a, b in itertools.pairwise(asks))
    assert all(shortest <= len(ask.tokens) <= shortest + more for ask in asks)
    assert all(FIRST_ID <= token < 40 for ask in asks for token in ask.tokens)
    assert len({ask.id for ask in asks}) == 50


def test_the_rate_changes_when_requests_come_and_nothing_of_what_they_ask() -> None:
    slow, fast = (list(Traffic(**{**USUAL, "rate": rate}).asks()) for rate in (2.0, 20.0))
    assert [ask.tokens for ask in slow] == [ask.tokens for ask in fast]
    assert [round(ask.at_s, 9) for ask in slow] == [round(10 * ask.at_s, 9) for ask in fast]


def test_gaps_are_those_of_a_poisson_process() -> None:
    at = [ask.at_s for ask in Traffic(**{**USUAL, "requests": 4001}).asks()]
    gaps = [b - a for a, b in itertools.pairwise(at)]
    mean = sum(gaps) / len(gaps)
    deviation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert mean == pytest.approx(0.5, rel=0.06) and deviation == pytest.approx(0.5, rel=0.08)


def test_an_infinite_rate_sends_all_at_once() -> None:
    assert {ask.at_s for ask in Traffic(**{**USUAL, "rate": math.inf}).asks()} == {0.0}


@pytest.mark.parametrize(("change", "match"), [
    ({"rate": 0.0}, "a rate of 0 requests"), ({"rate": math.nan}, "a rate of nan"), ({"requests": 0}, "no requests"),
    ({"output_tokens": 0}, "no tokens"), ({"prompt_tokens": (9, 3)}, "prompts of 9 to 3"),
    ({"prompt_tokens": (0, 3)}, "prompts of 0 to 3"), ({"vocabulary": 3}, "a vocabulary of 3 ids"),
])
def test_what_cannot_arrive_is_refused(change: dict[str, object], match: str) -> None:
    with pytest.raises(EngineError, match=match):
        Traffic(**{**USUAL, **change})  # type: ignore[arg-type]
