"""Confirmation, racing and the chance on the frontier: verdicts by table, and error rates by simulation."""
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator import statistics
from evaluator.report import Row, RowsByStage
from evaluator.stages.confirm import Waiting, in_turn
from evaluator.statistics.confirm import level_of

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import aa
import power
import racing


@dataclass(frozen=True)
class Other:
    id: int
    name: str
    rows: RowsByStage


def flow(solved: int, speed: float = 2.0, problems: int = 60, first: int = 0) -> RowsByStage:
    """Solves the first `solved` of its problems; timings that spread by half a percent."""
    return {"retrieval": [Row(stage="retrieval", problem=f"vt/confirm/{i}", score=float(i < solved))
                          for i in range(first, problems)],
            "speed": [Row(stage="speed", problem="b8", repeat=i, score=speed * (1 + 0.005 * (-1) ** i)) for i in range(10)]}


RIVALS = [
    (flow(50), [flow(50)], False, "may be no better than rival 0"),
    (flow(60), [flow(40)], True, "better than each rival"),                     # twenty more solved
    (flow(53), [flow(50)], False, "accuracy +0.050"),                           # three more: chance may do that
    (flow(30, 4.0), [flow(60, 2.0)], True, "speed x2.00"),                      # faster alone is enough
    (flow(50, 2.06), [flow(50, 2.0)], False, "speed x1.03"),                    # runs of one flow differ by as much
    (flow(60), [flow(40), flow(60)], False, "rival 1"),                         # one that it does not beat is enough
    (flow(60, 2.0), [flow(40, 2.0), flow(60, 1.0)], True, "better than each"),  # each in an objective of its own
    (flow(60), [], False, "no rival"),
    (flow(60), [{}], False, "no problem in common"),
]


@pytest.mark.parametrize(("ours", "theirs", "confirmed", "words"), RIVALS)
def test_confirmation(ours: RowsByStage, theirs: list[RowsByStage], confirmed: bool, words: str) -> None:
    found = statistics.confirmation(ours, [Other(i, f"rival {i}", rows) for i, rows in enumerate(theirs)], 1)
    assert found.confirmed is confirmed
    assert words in found.text
    assert found.text.startswith("confirmed" if confirmed else "not confirmed")
    assert (found.against is None) == (not theirs)
    assert found.p > 0


def test_levels_of_all_attempts_together_are_alpha() -> None:
    levels = [level_of(attempt) for attempt in range(1, 5000)]
    assert math.fsum(levels) == pytest.approx(0.05, abs=1e-5)
    assert levels == sorted(levels, reverse=True)


def test_a_later_attempt_must_be_surer() -> None:
    ours, rivals = flow(60), [Other(1, "dense", flow(49))]
    assert statistics.confirmation(ours, rivals, 1).confirmed
    assert not statistics.confirmation(ours, rivals, 40).confirmed


def test_rows_of_confirm_go_back_to_their_stages() -> None:
    rows = [Row(stage="confirm", problem="chain/chain-10-1k/confirm/3", score=0.5, repeat=1),
            Row(stage="confirm", problem="speed/b8-c8192", score=2.0)]
    found = statistics.split_confirm(rows)
    assert [(row.stage, row.problem, row.score, row.repeat) for row in found["chain"]] == [
        ("chain", "chain-10-1k/confirm/3", 0.5, 1)]
    assert found["speed"][0].problem == "b8-c8192"


@pytest.mark.parametrize(("own", "rivals", "total", "low", "high"), [
    (flow(60), [flow(40)], 60, 1, 1),                            # all answered: a verdict by the means
    (flow(40), [flow(60)], 60, 0, 0),
    (flow(40, 3.0), [flow(60)], 60, 1, 1),                       # faster beyond the floor: nothing dominates it
    (flow(40, 2.02), [flow(60)], 60, 0, 0),                      # within the floor
    (flow(50), [flow(50)], 60, 0, 0),                            # a twin adds nothing
    (flow(2, problems=4), [flow(4, problems=4)], 400, 0.1, 0.5),   # four rows say little
    (flow(20, problems=40), [flow(40, problems=40)], 80, 0, 1e-3),
    (flow(40, problems=40), [flow(20, problems=40)], 80, 0.99, 1),
    ({"retrieval": flow(10)["retrieval"]}, [flow(60)], 60, 0.5, 0.5),     # not timed: perhaps the fastest of all
    (flow(10), [], 60, 1, 1),
    (flow(10), [{"speed": flow(1)["speed"]}], 60, 0.5, 0.5),
    (flow(20, problems=40), [flow(0, problems=40), flow(40, problems=40)], 80, 0, 1e-3),
])
def test_chance_on_the_frontier(own: RowsByStage, rivals: list[RowsByStage], total: int, low: float, high: float) -> None:
    others = [Other(i, f"rival {i}", rows) for i, rows in enumerate(rivals)]
    assert low <= statistics.chance_on_frontier(own, others, total) <= high


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 60), st.integers(0, 60), st.integers(1, 200))
def test_a_chance_is_a_chance_and_more_solved_never_lowers_it(seen: int, solved: int, left: int) -> None:
    solved = min(solved, seen - 1)
    rival = [Other(1, "rival", flow(seen // 2, problems=seen))]
    less, more = (statistics.chance_on_frontier(flow(n, problems=seen), rival, seen + left) for n in (solved, solved + 1))
    assert 0 <= less <= 1
    if (solved >= seen // 2) == (solved + 1 > seen // 2):
        assert less <= more + 1e-9 or solved < seen // 2 <= solved + 1


def test_predicted_chances_come_true() -> None:
    """Of those given one chance in five to one in two, about as many end ahead."""
    draw, given_, came = np.random.default_rng(8), [], []
    for _ in range(400):
        skill = draw.beta(4, 4, 2)
        scores = draw.random((2, 48)) < skill[:, None]
        ours, theirs = ({"retrieval": [Row(stage="retrieval", problem=f"vt/1/{i}", score=float(x)) for i, x in enumerate(s)],
                         "speed": flow(1)["speed"]} for s in scores)
        part = {**ours, "retrieval": ours["retrieval"][:16]}
        chance = statistics.chance_on_frontier(part, [Other(1, "rival", theirs)], 48)
        if 0.2 <= chance <= 0.5:
            given_.append(chance)
            came.append(scores[0].sum() > scores[1].sum())
    assert len(came) > 40
    assert abs(np.mean(came) - np.mean(given_)) < 0.15


def test_what_is_left_of_one_task_is_as_uncertain_as_that_task_alone() -> None:
    """Of 16 problems the first 4 went ill: about the same chance where a task that both have answered whole stands beside."""
    ours = [Row(stage="chain", problem=f"chain/1/{i}", score=float(i > 2)) for i in range(4)]
    theirs = [Row(stage="chain", problem=f"chain/1/{i}", score=1.0) for i in range(16)]
    solved, timed = flow(60)["retrieval"], flow(1)["speed"]
    alone = statistics.chance_on_frontier({"chain": ours, "speed": timed}, [Other(1, "rival", {"chain": theirs, "speed": timed})],
                                          {"chain/chain": 16})
    own, rival = ({"retrieval": solved, "chain": rows, "speed": timed} for rows in (ours, theirs))
    beside = statistics.chance_on_frontier(own, [Other(1, "rival", rival)], {"chain/chain": 16, "retrieval/vt": 60})
    heap = statistics.chance_on_frontier(own, [Other(1, "rival", rival)], 76)
    assert alone / 10 < beside <= alone and heap < beside / 1000


@given(st.integers(1, 30), st.integers(0, 30), st.integers(1, 100))
def test_one_task_told_by_name_is_the_same_as_all_together(seen: int, solved: int, left: int) -> None:
    own, rival = flow(min(solved, seen), problems=seen), [Other(1, "rival", flow(seen // 2, problems=seen))]
    task, = statistics.scores_by_task(own["retrieval"])
    together = statistics.chance_on_frontier(own, rival, seen + left)
    assert statistics.chance_on_frontier(own, rival, {task: seen + left}) == pytest.approx(together)


def test_copies_of_one_flow_yield_no_confirmed_winner_where_other_ways_announce_many() -> None:
    found = aa.report([aa.campaign(seed, 0.02, copies=20) for seed in range(16)])
    announced = {way: one["times"] for way, one in found["announced"].items()}
    assert announced["confirmed"] <= 2                      # at most 5 %: more than 2 of 16 happen once in 23
    assert announced["better mean"] == 16
    assert announced["95 % interval"] >= 5
    assert found["attempts"] > 1
    assert found["overstated"] > 0.05 > 2 * abs(found["overstated_shrunken"])


@pytest.mark.parametrize("study", [power.Study(30, 4, "rows"), power.Study(160, 1, "rows, control"),
                                   power.Study(160, 1, "accuracy", 0.40)], ids=str)
def test_power_is_as_promised(study: power.Study) -> None:
    """Within a tenth of the promise, and two standard errors of so many studies."""
    assert study in power.STUDIES
    assert power.power(study, 200)["power"] == pytest.approx(power.PROMISED, abs=0.08 + 2 * math.sqrt(0.16 / 200))


def test_racing_spares_problems_and_keeps_what_is_confirmed() -> None:
    pools = [racing.made(np.random.default_rng(seed), count=20) for seed in range(2)]
    found = racing.summary([racing.replay(pool, seed, racing.Rule(), 20) for seed, pool in enumerate(pools)], pools)
    assert found["spent_median"] < 0.7
    assert found["kept"] >= 0.8
    assert found["confirmed"] > 1
    few = racing.made(np.random.default_rng(1), count=10)
    never = racing.summary([racing.replay(few, 1, racing.Rule(limit=0.0), 10)], [few])
    assert (never["spent_median"], never["kept"], never["added"]) == (1, 1, 0)


@pytest.mark.parametrize(("waiting", "places", "turns"), [
    ([], 3, []), ([(1, 0.9, 2.0)], 0, []), ([(1, 0.9, 2.0)], -1, []),
    ([(1, 0.9, 2.0), (2, 0.3, 5.0), (3, 1.0, 3.0)], 3, [2, 3, 1]),
    ([(1, 0.9, 2.0), (2, 0.3, 5.0), (3, 1.0, 3.0)], 2, [3, 1]),               # by chance who, by speed when
    ([(2, 0.5, 2.0), (1, 0.5, 2.0), (3, 0.5, 2.0)], 2, [1, 2]),
])
def test_the_most_promising_take_the_exam_the_fastest_first(waiting: list[tuple[int, float, float]], places: int,
                                                           turns: list[int]) -> None:
    assert [one.id for one in in_turn([Waiting(*one) for one in waiting], places)] == turns
