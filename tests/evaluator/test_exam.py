"""Verdicts of an exam: what is fast alone is confirmed where it is better than its rivals, and useful at all."""
from collections.abc import Sequence

import pytest

from evaluator.report import Row, StageResult, Status
from evaluator.stage import Context, Rival
from evaluator.stages import make_stage
from evaluator.stages.confirm import ConfirmSettings, ConfirmStage
from tests.evaluator.scripted import POINT, graph

SAMPLES = 10


def exam(gate: str) -> ConfirmStage:
    inner = make_stage("reasoning", {"tasks": ["math:small"], "max_new_tokens": 64, "samples": SAMPLES, "repeats": 1,
                                     "gate": gate})
    return ConfirmStage(settings=ConfirmSettings(samples=SAMPLES), inner=(inner,), attempt=1)


def rows(right: int, speed: float) -> Sequence[Row]:
    """Solves the first `right` problems; timings that spread by half a percent."""
    answers = [Row(stage="confirm", problem=one.id, score=float(i < right)) for i, one in enumerate(exam("").problems(POINT))]
    timings = [Row(stage="confirm", problem="speed/b8", repeat=i, score=speed * (1 + 0.005 * (-1) ** i)) for i in range(10)]
    return [*answers, *timings]


def verdict(gate: str, right: int, *, control: bool = False) -> StageResult:
    dense = rows(SAMPLES, 1.0)
    rival = Rival(id=1, name="dense", tier="control", rows={"confirm": dense})
    return exam(gate).result(rows(right, 4.0), Context(point=POINT, graph=graph(), dense=dense, rivals=(rival,), control=control))


@pytest.mark.parametrize(("gate", "right", "confirmed", "words"), [
    ("", 4, True, "better than each rival"),
    (">= 0.4 of dense", 4, True, "better than each rival"),
    (">= 0.5 of dense", 4, False, "the gate >= 0.5 of dense asks for 0.500"),
    ("possibly >= 0.5 of dense", 4, True, "better than each rival"),
    ("", 0, False, "cannot be told from none"),
])
def test_what_is_fast_and_stays_under_a_gate_or_answers_nothing_is_not_confirmed(
        gate: str, right: int, confirmed: bool, words: str) -> None:
    found = verdict(gate, right)
    assert found.status is Status.OK and found.facts["confirmed"] is confirmed
    assert words in found.facts["text"] and found.facts["text"].startswith("confirmed" if confirmed else "not confirmed")


def test_controls_are_held_to_no_gate() -> None:
    found = verdict(">= 0.5 of dense", 0, control=True)
    assert (found.status, found.code) == (Status.OK, "") and found.facts == {"confirmed": False}
