"""Figures beside accuracy, by rows whose answers are known."""
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator import metrics
from evaluator.report import Row


def row(problem: str = "t/1/0", repeat: int = 0, score: float = 1.0, **data: Any) -> Row:
    return Row(stage="reasoning", problem=problem, repeat=repeat, score=score, exact=float(score == 1), data=data)


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.integers(1, 8))
def test_pass_at_k_is_the_share_of_draws_with_a_right_answer(right: list[bool], k: int) -> None:
    rows = [row(repeat=index, score=float(one)) for index, one in enumerate(right)]
    found = metrics.pass_at(rows, k)
    if k > len(right):
        assert found is None
    else:
        draws = [any(draw) for draw in combinations(right, k)]
        assert found == pytest.approx(sum(draws) / len(draws))


@pytest.mark.parametrize(("repeats", "told"), [(1, []), (2, [1, 2]), (4, [1, 2, 4]), (6, [1, 2, 4, 6])])
def test_pass_at_k_is_told_for_doubling_k_and_for_all_repeats(repeats: int, told: list[int]) -> None:
    rows = [row(repeat=index, score=float(index == 0)) for index in range(repeats)]
    found = {name: value for name, value in metrics.facts(rows, [], repeats).items() if name.startswith("pass_at_")}
    assert found == {f"pass_at_{k}": pytest.approx(k / repeats) for k in told}


def test_goodput_counts_right_answers_by_the_time_the_engine_worked() -> None:
    rows = [row(device_s=1.5), row(repeat=1, score=0, device_s=2.5, tokens=10**6), row(problem="t/1/1", score=0.5, device_s=0)]
    assert metrics.goodput(rows) == 0.25
    assert metrics.goodput([row()]) is None


def test_drift_is_paired_by_problem() -> None:
    dense = [row(f"t/1/{index}", tokens=100 * (index + 1)) for index in range(4)] + [row("t/1/9", tokens=1)]
    ours = [row(f"t/1/{index}", repeat, tokens=120 * (index + 1) + noise)
            for index in range(4) for repeat, noise in ((0, 5), (1, -5))]
    found = metrics.drift(ours, dense)
    assert found is not None and found.value == pytest.approx(1.2) and found.count == 4
    assert metrics.drift(ours, dense[:1]) is None
    assert metrics.tokens_per_problem(ours) == pytest.approx(300)


def test_shares_and_counts_are_of_the_rows_that_tell() -> None:
    rows = [row(score=0, finish="length", grade={"box": False}), row(repeat=4, finish="length"),
            row(repeat=1, finish="stop", grade={"box": True, "judge": True}), row(repeat=2),
            row(repeat=3, score=0, grade={"fault": "empty"})]
    assert (metrics.truncated(rows), metrics.boxless(rows), metrics.doubts(rows)) == (2 / 3, 0.5, 1)
    assert metrics.faults(rows) == {"empty": 1}
    assert metrics.truncated([row()]) is None and metrics.boxless([row()]) is None


def test_lower_limits_are_scored_on_the_same_answers() -> None:
    rows = [row(tokens=50), row(repeat=1, tokens=500, grade={"at": {"64": 0.0}}), row(repeat=2, tokens=500, score=0)]
    assert metrics.at_caps(rows) == {"64": pytest.approx(1 / 3)}


def test_time_per_token_is_of_each_request() -> None:
    rows = [row(decode_s=0.1, tokens=11), row(repeat=1, decode_s=9.0, tokens=10_001), row(repeat=2, decode_s=0.2, tokens=1)]
    found = metrics.token_ms(rows)
    assert found["p50"] == pytest.approx((10 + 0.9) / 2) and found["p99"] <= 10
    assert metrics.percentiles([]) == {}


def test_rows_that_tell_nothing_have_no_facts() -> None:
    assert metrics.facts([row()], [], 1) == {}
