"""Intervals hold what they promise; comparisons use the problems that both candidates answered."""
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from evaluator import statistics
from evaluator.report import Row

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=40)


def rows(scores: Sequence[float], task: str = "vt", stage: str = "retrieval") -> list[Row]:
    return [Row(stage=stage, problem=f"{task}/1/{i}", score=float(s)) for i, s in enumerate(scores)]


def timings(ratios: Sequence[float]) -> list[Row]:
    return [Row(stage="speed", problem="b8-c8192", repeat=i, score=r) for i, r in enumerate(ratios)]


@pytest.mark.parametrize(("scores", "value", "low", "high"), [
    ([1.0] * 100, 1.0, 0.955, 1.0),          # Agresti and Coull: never a width of zero
    ([0.0] * 100, 0.0, 0.0, 0.045),
    ([1.0] * 50 + [0.0] * 50, 0.5, 0.404, 0.596),
    ([1.0], 1.0, 0.168, 1.0),
    ([0.5] * 1000, 0.5, 0.498, 0.502),       # graded scores that agree are worth more than shares
])
def test_mean_of_known_scores(scores: list[float], value: float, low: float, high: float) -> None:
    found = statistics.mean(scores)
    assert (found.value, found.count) == (value, len(scores))
    assert found.low == pytest.approx(low, abs=0.002)
    assert found.high == pytest.approx(high, abs=0.002)


@given(SCORES)
def test_interval_of_a_mean_holds_it_and_stays_in_range(scores: list[float]) -> None:
    found = statistics.mean(scores)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low < found.high


def test_tasks_weigh_the_same_whatever_their_size() -> None:
    both = {"retrieval": rows([1.0] * 90, "multikey") + rows([0.0] * 10, "vt")}
    assert statistics.accuracy(both).value == 0.5


def test_accuracy_spans_the_accuracy_stages_and_no_other() -> None:
    by_stage = {"retrieval": rows([1.0] * 4), "chain": rows([0.5] * 4, stage="chain"), "speed": timings([9.0, 9.0])}
    assert statistics.accuracy(by_stage).value == 0.75


@pytest.mark.parametrize(("share", "spread"), [(0.5, 0.0), (0.9, 0.0), (0.97, 0.0), (0.6, 0.3)])
def test_interval_of_a_mean_covers_the_truth_in_95_of_100_studies(share: float, spread: float) -> None:
    draw = np.random.default_rng(7)
    studies = 2000
    hits = 0
    for _ in range(studies):
        if spread:
            scores = draw.beta(share / spread, (1 - share) / spread, 48)
        else:
            scores = draw.binomial(1, share, 48).astype(float)
        found = statistics.mean(scores.tolist())
        hits += found.low <= share <= found.high
    assert 0.925 <= hits / studies <= 0.99


def test_interval_of_a_paired_difference_covers_the_truth() -> None:
    draw = np.random.default_rng(11)
    studies, hits = 1000, 0
    for _ in range(studies):
        hard = draw.random(60)
        ours, theirs = (draw.random(60) > hard * 0.6), (draw.random(60) > hard * 0.8)
        found = statistics.difference({"retrieval": rows(ours.tolist())}, {"retrieval": rows(theirs.tolist())})
        hits += found.low <= 0.1 <= found.high
    assert 0.925 <= hits / studies <= 0.99


def test_pairing_tells_apart_what_separate_intervals_cannot() -> None:
    theirs = [1.0, 0.0] * 40
    ours = [*theirs[:-14], *[1.0] * 14]
    a, b = {"retrieval": rows(ours)}, {"retrieval": rows(theirs)}
    assert statistics.accuracy(a).low < statistics.accuracy(b).high
    assert statistics.difference(a, b).low > 0
    assert statistics.probability_at_least(a, b) > 0.95


def test_only_shared_problems_are_compared() -> None:
    ours, theirs = {"retrieval": rows([1.0] * 4)}, {"retrieval": rows([1.0] * 4) + rows([0.0] * 50, "fwe")}
    assert statistics.difference(ours, theirs).count == 4
    assert statistics.difference(ours, theirs).value == 0


def test_nothing_shared_says_nothing() -> None:
    ours, theirs = {"retrieval": rows([1.0] * 4)}, {"retrieval": rows([0.0] * 4, "fwe")}
    found = statistics.difference(ours, theirs)
    assert (found.value, found.low, found.high, found.count) == (0.0, -1.0, 1.0, 0)
    assert statistics.probability_at_least(ours, theirs) == 0.5
    assert statistics.probability_as_fast(ours, theirs) == 0.5


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_turning_a_comparison_round_turns_its_sign(pairs: list[tuple[float, float]]) -> None:
    a = {"retrieval": rows([x for x, _ in pairs])}
    b = {"retrieval": rows([y for _, y in pairs])}
    one, other = statistics.difference(a, b), statistics.difference(b, a)
    assert one.value == pytest.approx(-other.value, abs=1e-9)
    assert one.low == pytest.approx(-other.high, abs=1e-9)
    assert statistics.probability_at_least(a, b) == pytest.approx(1 - statistics.probability_at_least(b, a), abs=1e-9)


def test_a_margin_forgives_a_small_loss() -> None:
    dense, ours = {"retrieval": rows([1.0] * 100)}, {"retrieval": rows([1.0] * 99 + [0.0])}
    assert statistics.probability_at_least(ours, dense) < 0.5
    assert statistics.probability_at_least(ours, dense, margin=0.05) > 0.95


def test_share_of_the_dense_controls_accuracy() -> None:
    ours, theirs = rows([0.4] * 30, stage="chain"), rows([0.8] * 30, stage="chain")
    found = statistics.ratio_of_means({"chain": ours}, {"chain": theirs})
    assert found.value == pytest.approx(0.5)
    assert found.low < 0.5 < found.high < 0.6


def test_median_ratio_is_the_median_with_students_interval_on_logarithms() -> None:
    found = statistics.median_ratio([2.0, 2.1, 1.9, 2.0, 4.0])
    assert found.value == 2.0
    assert found.low < 2.0 < found.high


@pytest.mark.parametrize("repeats", [5, 10, 20])
def test_interval_of_a_ratio_covers_the_truth(repeats: int) -> None:
    draw = np.random.default_rng(3)
    found = [statistics.median_ratio(np.exp(draw.normal(math.log(3), 0.1, repeats)).tolist()) for _ in range(1000)]
    assert 0.93 <= sum(f.low <= 3 <= f.high for f in found) / 1000 <= 0.98


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(2, 5), (4, 9), (10, 10), (12, 20), (20, 21)]))
def test_speeds_are_compared_as_scipy_compares_trimmed_means(seed: int, counts: tuple[int, int]) -> None:
    draw = np.random.default_rng(seed)
    ours, theirs = (np.exp(draw.standard_t(2, count)).tolist() for count in counts)
    trim = 0.25 if min(counts) >= 10 else 0.0
    expected = stats.ttest_ind(np.log(ours), np.log(theirs), equal_var=False, trim=trim, alternative="less").pvalue
    assert statistics.probability_as_fast({"speed": timings(ours)}, {"speed": timings(theirs)}) == pytest.approx(expected)


def test_a_few_disturbed_repeats_hide_no_lead() -> None:
    """Figures of a real exam on two shared cores: a quarter of the faster flow's repeats met something else running."""
    fast = [2.47, 2.16, 2.18, 2.08, 2.42, 1.2, 2.23, 2.0, 2.11, 1.29, 1.21, 1.49, 1.45, 2.05, 2.03, 2.04, 2.16, 2.18, 2.31, 2.21]
    slow = [1.75, 1.58, 1.7, 1.97, 1.47, 1.54, 1.35, 1.38, 1.68, 1.59, 1.62, 1.71, 1.77, 1.28, 1.55, 1.75, 1.7, 2.48, 1.65, 1.58]
    assert stats.ttest_ind(np.log(fast), np.log(slow) + 0.1, equal_var=False, alternative="greater").pvalue > 0.1
    found = statistics.probability_as_fast({"speed": timings(fast)}, {"speed": timings(slow)}, lead=0.1)
    assert found > 0.99


def test_speed_is_the_geometric_mean_over_shapes() -> None:
    shapes = [Row(stage="speed", problem=f"c{c}", repeat=r, score=s) for r in range(3) for c, s in ((1, 2.0), (2, 8.0))]
    assert statistics.speed({"speed": shapes}).value == pytest.approx(4.0)


def test_dominance_needs_both_sides() -> None:
    best = {"retrieval": rows([1.0] * 60), "speed": timings([4.0, 4.1, 3.9])}
    slow = {"retrieval": rows([1.0] * 60), "speed": timings([2.0, 2.1, 1.9])}
    poor = {"retrieval": rows([0.5] * 60), "speed": timings([4.0, 4.1, 3.9])}
    assert statistics.probability_dominates(best, slow) == pytest.approx(0.5, abs=0.01)
    assert statistics.probability_dominates(slow, best) < 0.01
    assert statistics.probability_dominates(best, poor) == pytest.approx(0.5, abs=0.01)
    assert statistics.probability_dominates(poor, slow) < 0.01
    assert statistics.probability_dominates(best, slow, margin=0.05) > 0.95


def test_equal_timings_without_spread_are_a_toss_up() -> None:
    same = {"speed": timings([2.0, 2.0])}
    assert statistics.probability_as_fast(same, same) == 0.5
