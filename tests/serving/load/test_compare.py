"""Dense, flow, dense: ratios with their range, and whether the two dense runs agree."""
import math

import pytest

from vortex.serving.load.client import Observed
from vortex.serving.load.compare import FIGURES, Side, Turn, compare, order
from vortex.serving.load.latency import Slo, latencies


def turn(side: Side, gap: float, first: float = 0.2, slo: Slo | None = None) -> Turn:
    load = tuple(Observed(id=str(n), prompt_tokens=3, due_s=0.0, sent_s=0.0,
                          arrivals=tuple((first + gap * k, k + 1) for k in range(11))) for n in range(4))
    return Turn(side=side, swap_s=0.5, observed=load, told=latencies(load, slo))


@pytest.mark.parametrize(("rounds", "sides"), [(1, "dfd"), (2, "dfdfd"), (3, "dfdfdfd")])
def test_dense_stands_at_both_ends(rounds: int, sides: str) -> None:
    assert "".join(side[0] for side in order(rounds)) == sides


@pytest.mark.parametrize(("again", "low", "high", "drift", "steady"), [
    (0.04, 4.0, 4.0, 0.0, True), (0.041, 4.0, 4.1, 0.001 / 0.0405, True), (0.05, 4.0, 5.0, 0.01 / 0.045, False),
    (0.03, 3.0, 4.0, 0.01 / 0.035, False)])
def test_the_flow_is_held_against_both_neighbours(again: float, low: float, high: float, drift: float, steady: bool) -> None:
    found = compare([turn("dense", 0.04), turn("flow", 0.01), turn("dense", again)])["tpot p50"]
    assert found.dense == pytest.approx((0.04, again)) and found.flow == pytest.approx((0.01,))
    assert (found.low, found.high, found.times) == pytest.approx((low, high, (low + high) / 2))
    assert found.drift == pytest.approx(drift) and found.steady is steady


def test_a_drift_of_the_machine_is_no_speed() -> None:
    """Each run is a tenth slower than the one before: its neighbours cancel, the first alone would say 1.1."""
    found = compare([turn(side, 0.01 * 1.1 ** n, first=0.2 * 1.1 ** n) for n, side in enumerate(order(3))])
    for name in ("tpot p50", "ttft p95", "tokens/s"):
        assert found[name].times == pytest.approx(1.0, rel=0.01) and not found[name].steady


def test_more_is_better_for_throughput_and_less_for_latency() -> None:
    found = compare([turn("dense", 0.04), turn("flow", 0.02), turn("dense", 0.04)])
    assert found["tokens/s"].times == pytest.approx(0.6 / 0.4) and found["whole p99"].times == pytest.approx(0.6 / 0.4)
    assert found["ttft p50"].times == pytest.approx(1.0)
    assert set(found) == {figure.name for figure in FIGURES}


def test_a_limit_that_only_the_flow_keeps() -> None:
    slo = Slo(tpot_s=0.03)
    found = compare([turn(side, gap, slo=slo) for side, gap in zip(order(1), (0.04, 0.02, 0.04), strict=True)])["goodput"]
    assert found.dense == (0.0, 0.0) and found.flow[0] > 0 and math.isinf(found.times) and found.drift == 0.0
