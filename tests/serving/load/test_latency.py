"""Statistics of a load, on requests whose times are made up."""
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vortex.serving.load.client import Observed
from vortex.serving.load.latency import Slo, gaps_s, latencies, tpot_s, ttft_s


def request(due: float = 0.0, first: float = 0.5, gap: float = 0.01, tokens: int = 11, late: float = 0.0,
            error: str = "") -> Observed:
    arrivals = tuple((due + first + gap * n, n + 1) for n in range(tokens))
    return Observed(id=f"{due}", prompt_tokens=4, due_s=due, sent_s=due + late, arrivals=() if error else arrivals, error=error)


def test_a_hundred_known_requests() -> None:
    load = [request(due=0.1 * n, first=0.01 * (n + 1), gap=0.001 * (n + 1)) for n in range(100)]
    random.Random(0).shuffle(load)
    told = latencies(load, Slo(ttft_s=0.505, tpot_s=0.0305))
    assert told.ttft is not None and told.tpot is not None and told.whole is not None
    assert (told.ttft.p50, told.ttft.p95, told.ttft.p99, told.ttft.most) == pytest.approx((0.505, 0.9505, 0.9901, 1.0))
    assert (told.tpot.p50, told.tpot.mean) == pytest.approx((0.0505, 0.0505))
    assert told.whole.most == pytest.approx(1.0 + 10 * 0.1)
    assert told.seconds == pytest.approx(9.9 + 2.0) and told.tokens == 1100
    assert told.tokens_per_s == pytest.approx(1100 / 11.9) and told.requests_per_s == pytest.approx(100 / 11.9)
    assert told.good == 30 and told.goodput == pytest.approx(30 / 11.9)


@pytest.mark.parametrize(("slo", "good"), [(Slo(), 3), (Slo(ttft_s=0.4), 0), (Slo(tpot_s=0.02), 2),
                                           (Slo(ttft_s=0.6, tpot_s=0.005), 0)])
def test_a_request_is_good_when_it_keeps_both_limits(slo: Slo, good: int) -> None:
    load = [request(), request(gap=0.03), request(gap=0.015), request(error="cut")]
    assert latencies(load, slo).good == good


def test_what_failed_counts_in_nothing_else() -> None:
    alone, both = latencies([request()]), latencies([request(), request(error="refused")])
    assert (both.requests, both.failed) == (2, 1)
    assert (both.ttft, both.tpot, both.seconds, both.tokens) == (alone.ttft, alone.tpot, alone.seconds, alone.tokens)


def test_time_counts_from_when_a_request_was_due() -> None:
    """A client that is two seconds late does not make the server two seconds faster."""
    one = request(first=2.5, late=2.0)
    told = latencies([one])
    assert ttft_s(one) == pytest.approx(2.5)
    assert told.late is not None and told.late.most == pytest.approx(2.0)


def test_tokens_that_come_together_share_their_gap() -> None:
    one = Observed(id="", prompt_tokens=1, due_s=0, sent_s=0, arrivals=((1.0, 2), (1.3, 5), (1.4, 6)))
    assert gaps_s(one) == pytest.approx([0.1, 0.1, 0.1, 0.1]) and tpot_s(one) == pytest.approx(0.1)


def test_one_token_has_no_time_per_token() -> None:
    told = latencies([request(tokens=1)], Slo(tpot_s=1e-9))
    assert told.tpot is None and told.gap is None and told.good == 1


TIMES = st.tuples(st.floats(0, 50), st.floats(0.001, 5), st.floats(0.0001, 1), st.integers(2, 20))


@given(st.lists(TIMES, min_size=1, max_size=20))
def test_figures_are_in_order_and_survive_json(made: list[tuple[float, float, float, int]]) -> None:
    load = [request(due, first, gap, tokens) for due, first, gap, tokens in made]
    assert load == [Observed.from_line(json.dumps(vars(one))) for one in load]
    told = latencies(load, Slo(ttft_s=1.0))
    for each in (told.ttft, told.tpot, told.gap, told.whole):
        assert each is not None and each.p50 <= each.p95 <= each.p99 <= each.most * (1 + 1e-9)
    assert told.good <= told.requests and told.tokens == sum(tokens for *_, tokens in made)
    assert json.loads(json.dumps(told.to_json()))["goodput"] == told.goodput
