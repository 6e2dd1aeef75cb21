"""Repeats are clusters, and what they tell: intervals on these problems, detectable differences, the luck of the best."""
from dataclasses import replace

import numpy as np
import pytest

from evaluator import statistics
from evaluator.report import Estimate, Row


def answered(shares: np.ndarray, repeats: int, draw: np.random.Generator) -> list[Row]:
    return [Row(stage="reasoning", problem=f"sums/1/{i}", repeat=k, score=float(draw.random() < share))
            for i, share in enumerate(shares) for k in range(repeats)]


def copies(scores: list[float], repeats: int) -> list[Row]:
    return [Row(stage="reasoning", problem=f"sums/1/{i}", repeat=k, score=score)
            for i, score in enumerate(scores) for k in range(repeats)]


def test_asking_the_same_again_is_no_further_evidence_of_generality() -> None:
    once, often = ({"reasoning": copies([1.0, 0.0, 1.0, 1.0], k)} for k in (1, 50))
    assert statistics.accuracy(often) == statistics.accuracy(once)
    assert statistics.accuracy(often).count == 4
    assert statistics.scores_by_task(often["reasoning"]) == {"reasoning/sums": [1.0, 0.0, 1.0, 1.0]}


def test_problems_weigh_the_same_whatever_their_repeats() -> None:
    rows = [*copies([1.0], 9), Row(stage="reasoning", problem="sums/1/7", score=0.0)]
    assert statistics.accuracy({"reasoning": rows}).value == 0.5
    assert statistics.fewest_repeats(rows) == 1
    assert statistics.fewest_repeats(copies([1.0, 0.0], 3)) == 3


def test_these_problems_again_vary_less_than_other_problems_would() -> None:
    draw = np.random.default_rng(2)
    rows = {"reasoning": answered(draw.beta(0.5, 0.5, 30), 16, draw)}
    assert statistics.on_this_set(rows).half_width < 0.5 * statistics.accuracy(rows).half_width
    assert statistics.on_this_set(rows).value == statistics.accuracy(rows).value


@pytest.mark.parametrize("repeats", [2, 4, 16])
def test_interval_on_this_set_covers_what_asking_for_ever_would_give(repeats: int) -> None:
    draw = np.random.default_rng(repeats)
    shares = draw.beta(0.5, 0.5, 30)
    found = [statistics.on_this_set({"reasoning": answered(shares, repeats, draw)}) for _ in range(200)]
    assert 0.91 <= np.mean([one.low <= shares.mean() <= one.high for one in found]) <= 0.99


def test_without_repeats_the_interval_on_this_set_is_an_upper_bound() -> None:
    one = {"reasoning": copies([1.0, 0.0] * 20, 1)}
    assert statistics.on_this_set(one).half_width >= 1.96 * (0.25 / 40) ** 0.5


def test_the_interval_for_other_runs_holds_their_speeds() -> None:
    """Runs differ by RUN_SPREAD and repeats within one by a quarter of it: its own interval misses where other runs lie."""
    draw, spread = np.random.default_rng(6), statistics.RUN_SPREAD
    hits = {"own": 0, "other": 0}
    for _ in range(300):
        logs = spread * draw.standard_normal() + spread / 4 * draw.standard_normal(10)
        rows = {"speed": [Row(stage="speed", problem="b1-c64", repeat=k, score=2 * float(np.exp(one)))
                          for k, one in enumerate(logs)]}
        own, other = statistics.speed(rows), statistics.other_intervals(rows)["speed_of_other_runs"]
        assert other.value == own.value and other.low < own.low < own.high < other.high
        hits["own"] += own.low <= 2 <= own.high
        hits["other"] += other.low <= 2 <= other.high
    assert hits["own"] < 0.5 * 300 and 0.93 * 300 <= hits["other"] <= 0.985 * 300


def test_intervals_are_told_of_what_was_measured() -> None:
    rows = copies([1.0, 0.0, 1.0], 4)
    again = statistics.on_this_set({"reasoning": rows})
    assert statistics.other_intervals({"reasoning": rows}) == {"accuracy_on_this_set": again}
    assert statistics.other_intervals({"speed": [Row(stage="speed", problem="b1-c64", score=2.0)]}) == {}


def test_interval_of_a_difference_of_repeats_covers_the_truth() -> None:
    draw = np.random.default_rng(5)
    hits = 0
    for _ in range(200):
        shares = draw.beta(0.5, 0.5, 40)
        a, b = ({"reasoning": answered(shares * scale, 4, draw)} for scale in (0.9, 1.0))
        found = statistics.difference(a, b)
        hits += found.low <= -0.05 <= found.high
    assert 0.91 <= hits / 200 <= 0.99


@pytest.mark.parametrize(("known", "problems", "repeats", "least", "most"), [
    (None, 30, 1, 0.25, 0.45),           # one pass over AIME sees nothing under a quarter
    (None, 30, 16, 0.08, 0.10),          # worst case, 9.0 by the textbook: 15.7 p(1 - p) / (problems x repeats)
    (None, 90, 16, 0.045, 0.06),
    (1.0, 40, 1, 0.15, 0.25),            # dense at the ceiling: the other flow still makes noise
    (0.5, 10_000, 1, 0.018, 0.021),
    (None, 2, 1, 1.0, 1.0),
])
def test_detectable_differences(known: float | None, problems: int, repeats: int, least: float, most: float) -> None:
    assert least <= statistics.detectable(known, problems, repeats) <= most


def test_what_is_detectable_follows_from_the_rows_of_dense() -> None:
    draw = np.random.default_rng(4)
    steady = answered(np.array([1.0, 0.0] * 15), 16, draw)
    wavering = answered(np.full(30, 0.5), 16, draw)
    assert statistics.detectable(steady, 30, 16) < 0.7 * statistics.detectable(wavering, 30, 16)
    assert statistics.detectable(wavering, 30, 16) == pytest.approx(statistics.detectable(None, 30, 16), rel=0.05)
    assert statistics.detectable(None, 30, 16, power=0.95) > statistics.detectable(None, 30, 16)
    assert statistics.detectable(None, 30, 16, correlation=0.5) < statistics.detectable(None, 30, 16)


def test_what_two_flows_share_is_told_by_repeats_or_by_another_flow_of_the_same_problems() -> None:
    draw = np.random.default_rng(8)
    shares = draw.beta(0.5, 0.5, 400)
    dense, again, own = answered(shares, 1, draw), answered(0.8 * shares, 1, draw), answered(shares, 4, draw)
    elsewhere = [replace(row, problem=row.problem.replace("sums/1", "sums/2")) for row in again]
    assert statistics.is_bound(dense) and statistics.is_bound(None) and statistics.is_bound(0.5)
    assert statistics.is_bound(dense, [elsewhere]) and not statistics.is_bound(dense, [again])
    assert not statistics.is_bound(own)
    bound, known = statistics.detectable(dense, 160), statistics.detectable(dense, 160, others=[elsewhere, again])
    assert known < 0.85 * bound and statistics.detectable(dense, 160, others=[elsewhere]) == bound
    assert known == pytest.approx(statistics.detectable(own, 160), rel=0.05)     # asked once as well: the same variance


def test_a_flow_that_answers_as_dense_does_leaves_the_loss_itself_as_noise() -> None:
    draw = np.random.default_rng(9)
    dense = answered(np.full(400, 0.5), 1, draw)
    nested, apart = (statistics.detectable(dense, 400, others=[rows]) for rows in (dense, answered(np.full(400, 0.5), 1, draw)))
    assert nested < 0.6 * apart and apart == pytest.approx(statistics.detectable(dense, 400), rel=0.1)


def figures(values: np.ndarray, error: float) -> list[Estimate]:
    return [Estimate(value=v, low=v - 1.96 * error, high=v + 1.96 * error, count=30) for v in values.tolist()]


@pytest.mark.parametrize("spread", [0.0, 0.02, 0.05])
def test_the_best_of_many_is_no_longer_overstated(spread: float) -> None:
    draw = np.random.default_rng(1)
    raw, corrected, covered = [], [], 0
    for _ in range(200):
        truth = 0.5 + spread * draw.standard_normal(40)
        seen = truth + 0.03 * draw.standard_normal(40)
        best, found = int(np.argmax(seen)), statistics.best_of(figures(seen, 0.03))
        raw.append(seen[best] - truth[best])
        corrected.append(found.value - truth[best])
        covered += found.low <= truth[best] <= found.high
    assert np.mean(raw) > 0.025
    assert abs(np.mean(corrected)) < 0.012
    assert covered >= 0.92 * 200


def test_few_estimates_are_left_alone_and_sure_ones_nearly() -> None:
    few = figures(np.array([0.1, 0.5, 0.9]), 0.05)
    assert statistics.shrunken(few) == tuple(few)
    sure = statistics.shrunken(figures(np.array([0.1, 0.3, 0.5, 0.7, 0.9]), 0.001))
    assert [one.value for one in sure] == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9], abs=1e-4)
    same = statistics.shrunken(figures(np.full(6, 0.4), 0.02))
    assert {round(one.value, 9) for one in same} == {0.4}
