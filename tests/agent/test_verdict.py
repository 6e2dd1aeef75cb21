"""Verdicts: what intervals say of predictions, by table; signs, swaps and round trips, by property."""
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.claims import Claim, Direction, Prediction
from agent.verdict import MIRRORED, Change, Ruling, Verdict, change, improved, ruled, verdict
from evaluator.report import UNMEASURED, Estimate, Report, StageResult, Status
from search.candidate import Entry
from tests.agent.ideas import control, failed, idea

ENDS = st.tuples(st.floats(-1, 1), st.floats(-1, 1)).map(lambda ends: (min(ends), max(ends)))
LEAST = st.one_of(st.none(), st.floats(0.001, 0.5))
WAYS = st.sampled_from(["up", "down", "same"])
S, R, U, N = Ruling.SUPPORTED, Ruling.REFUTED, Ruling.UNDECIDED, Ruling.UNTESTED


@pytest.mark.parametrize(("low", "high", "direction", "least", "said"), [
    (0.01, 0.05, "up", None, S), (-0.01, 0.05, "up", None, U), (-0.05, -0.01, "up", None, R), (-0.01, 0.01, "up", None, R),
    (0.01, 0.05, "up", 0.03, S), (0.01, 0.05, "up", 0.10, R), (-0.01, 0.20, "up", 0.10, U),
    (-0.05, -0.01, "down", None, S), (0.01, 0.05, "down", None, R), (-0.05, -0.01, "down", 0.10, R),
    (-0.01, 0.01, "same", None, S), (0.03, 0.05, "same", None, R), (-0.05, 0.05, "same", None, U),
    (-0.05, 0.05, "same", 0.05, S), (0.0, 0.0, "same", None, S), (0.0, 0.0, "up", None, R),
])
def test_an_interval_rules_on_a_direction(low: float, high: float, direction: Direction, least: float | None,
                                          said: Ruling) -> None:
    assert ruled(low, high, direction, least, 0.02) is said


@given(ENDS, WAYS, LEAST)
def test_a_ruling_is_the_same_when_the_sign_is_swapped(ends: tuple[float, float], way: Direction, least: float | None) -> None:
    low, high = ends
    assert ruled(low, high, way, least, 0.02) is ruled(-high, -low, MIRRORED[way], least, 0.02)


@given(ENDS, LEAST, st.floats(0, 0.2))
def test_opposite_predictions_are_not_both_supported_and_zero_supports_neither(ends: tuple[float, float], least: float | None,
                                                                               margin: float) -> None:
    up, down = (ruled(*ends, way, least, margin) for way in ("up", "down"))
    assert (up, down) != (S, S)
    if ends[0] <= 0 <= ends[1]:
        assert S not in (up, down)
    else:
        assert R in (up, down)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 200), st.integers(0, 200), st.floats(1, 6), st.floats(1, 6), WAYS,
       st.sampled_from(["accuracy", "retrieval", "multikey-1k-full", "speed"]))
def test_ours_against_theirs_is_theirs_against_ours_the_other_way(mine: int, other: int, fast: float, slow: float,
                                                                  way: Direction, objective: str) -> None:
    a, b = idea(3, mine, fast), idea(4, other, slow)
    there = verdict(Claim(mechanism="", prediction=(Prediction(objective, way),)), a, b)
    back = verdict(Claim(mechanism="", prediction=(Prediction(objective, MIRRORED[way]),)), b, a)
    assert there.ruling is back.ruling


@pytest.mark.parametrize(("prediction", "said"), [
    ([("accuracy", "up", None)], S), ([("accuracy", "up", 0.1)], S), ([("accuracy", "up", 10.0)], S),
    ([("accuracy", "up", 0.5)], R), ([("accuracy", "down", None)], R), ([("accuracy", "same", None)], R),
    ([("speed", "up", 0.4)], S), ([("speed", "up", 1.5)], S), ([("speed", "up", 2.0)], R), ([("latency", "down", 0.3)], S),
    ([("latency", "up", None)], R), ([("throughput", "up", None)], S), ([("bytes", "down", 0.5)], S),
    ([("bytes", "down", 2.0)], S), ([("bytes", "down", 0.9)], R), ([("memory", "down", None)], N), ([("beauty", "up", None)], N),
    ([("chain", "up", None)], N), ([("retrieval", "up", None), ("speed", "up", None)], S),
    ([("retrieval", "up", None), ("speed", "down", None)], R), ([("retrieval", "up", None), ("beauty", "up", None)], U), ([], S),
])
def test_predictions_meet_what_was_measured(prediction: list[tuple[str, Direction, float | None]], said: Ruling) -> None:
    """Ours: accuracy 0.6 for 0.5, speed 3 for 2, half the bytes."""
    ours, theirs = idea(3, 120, 3.0, share=0.0625), control()
    found = verdict(Claim(mechanism="m", prediction=tuple(Prediction(*one) for one in prediction)), ours, theirs)
    assert found.ruling is said, found.text
    assert found.rival == 2
    assert {effect.objective for effect in found.effects} == {"accuracy", "speed", "bytes"}


@pytest.mark.parametrize(("solved", "speed", "said"), [
    (120, 3.0, S), (120, 2.0, S), (100, 3.0, S), (100, 2.0, R), (60, 2.0, R), (100, 1.0, R), (60, 3.0, U), (140, 1.0, U),
])
def test_without_a_prediction_the_claim_is_to_be_better(solved: int, speed: float, said: Ruling) -> None:
    assert verdict(Claim(mechanism="m"), idea(3, solved, speed), control()).ruling is said


def test_a_wide_interval_decides_nothing() -> None:
    wide = Change(objective="accuracy", estimate=Estimate(value=0.1, low=-0.2, high=0.4, count=6))
    assert wide.is_wide and not wide.is_none
    assert improved([wide]) is U
    assert improved([]) is N


@pytest.mark.parametrize(("status", "said"), [
    (Status.REJECTED, N), (Status.NUMERICS, N), (Status.HACK, N), (Status.TIMEOUT, N), (Status.GATE, R), (Status.STOPPED, R),
])
def test_what_fails_proves_nothing_but_a_gate_does(status: Status, said: Ruling) -> None:
    metrics = {} if status in UNMEASURED else {"retrieval": Estimate(value=0.1, low=0.05, high=0.15, count=200)}
    end = StageResult(stage="retrieval", status=status, code="below-gate", metrics=metrics)
    ours = failed(3, status=status)
    ours = Entry(candidate=ours.candidate, report=Report(results=(end,)))
    found = verdict(Claim(mechanism="m", prediction=(Prediction("accuracy", "up"),)), ours, control())
    assert (found.ruling, found.ended) == (said, "retrieval: below-gate")
    speed = verdict(Claim(mechanism="m", prediction=(Prediction("speed", "up"),)), ours, control())
    assert speed.ruling is N


def test_without_a_rival_nothing_is_tested() -> None:
    assert verdict(Claim(mechanism="m"), idea(3), None).ruling is N


def test_the_amounts_of_odd_answers_do_not_break_a_verdict() -> None:
    for amount in (0.0, 1.0, -0.1, float("nan"), float("inf"), 1e300):
        for objective in ("accuracy", "speed", "bytes"):
            for way in ("up", "down", "same"):
                prediction = (Prediction(objective, way, amount),)
                assert verdict(Claim(mechanism="m", prediction=prediction), idea(3, 120, 3.0), control()).findings


def test_a_speed_that_was_not_measured_is_no_change() -> None:
    ours = replace(idea(3), report=Report(results=()))
    assert change("speed", ours, control()) is None


@pytest.mark.parametrize("ours", [idea(3, 120, 3.0), failed(4), idea(5, 100, 2.0)], ids=["better", "failed", "same"])
def test_a_verdict_comes_back_from_json(ours: Entry) -> None:
    claim = Claim(mechanism="m", prediction=(Prediction("accuracy", "up", 0.02), Prediction("beauty", "up")))
    found = verdict(claim, ours, control())
    assert Verdict.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_the_text_holds_the_figures_that_a_ruling_rests_on() -> None:
    claim = Claim(mechanism="m", prediction=(Prediction("accuracy", "up", 0.02), Prediction("beauty", "up")))
    text = verdict(claim, idea(3, 120, 3.0), control()).text
    assert text.startswith("undecided against 2; predicted accuracy up by 0.02: supported, accuracy +0.100 [+0.0")
    assert text.endswith("predicted beauty up: untested, not measured")
