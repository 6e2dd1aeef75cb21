"""A StageResult or Report that contradicts itself cannot be built."""
import math
from dataclasses import replace
from typing import Any

import pytest

from evaluator.report import UNMEASURED, Estimate, Report, StageResult, Status, skipped

FINE = Estimate(value=0.5, low=0.4, high=0.6, count=8)


@pytest.mark.parametrize(("status", "code", "figure", "said"), [
    (Status.OK, "below-gate", FINE, "ended ok, and yet with the code below-gate"),
    (Status.GATE, "", FINE, "does not say why"),
    *((status, "why", FINE, f"ended {status}, and yet has figures: accuracy") for status in UNMEASURED),
    (Status.OK, "", Estimate(value=0.7, low=0.4, high=0.6, count=8), "outside of its interval"),
    (Status.OK, "", Estimate(value=math.nan, low=0.4, high=0.6, count=8), "is no number"),
    (Status.HACK, "why", Estimate(value=1.0, low=0.4, high=math.inf, count=8), "is no number"),
])
def test_a_result_does_not_contradict_itself(status: Status, code: str, figure: Estimate, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        StageResult(stage="retrieval", status=status, code=code, metrics={"accuracy": figure})


@pytest.mark.parametrize(("how", "said"), [
    ({"status": Status.GATE, "code": "below-gate"}, "was skipped, and yet ended gate"),
    ({"status": Status.INFRASTRUCTURE, "code": "worker-lost"}, "was skipped, and yet ended infrastructure"),
    ({"metrics": {"chain": FINE}}, r"was skipped, and yet ended ok, figures: \['chain'\]"),
    ({"message": ""}, "does not say why"),
])
def test_a_skipped_stage_has_a_reason_and_nothing_else(how: dict[str, Any], said: str) -> None:
    fine = skipped("chain", "the engine cannot do it")
    assert fine.skipped and not StageResult(stage="chain", status=Status.OK, message="seen").skipped
    with pytest.raises(ValueError, match=said):
        replace(fine, **how)


@pytest.mark.parametrize("status", [Status.OK, Status.GATE, Status.STOPPED, Status.NUMERICS, Status.HACK])
def test_what_was_measured_may_have_figures(status: Status) -> None:
    code = "" if status is Status.OK else "why"
    assert StageResult(stage="chain", status=status, code=code, metrics={"chain": FINE}).metrics["chain"] == FINE


@pytest.mark.parametrize(("stages", "said"), [
    ([("static", Status.OK), ("static", Status.OK)], "reported twice"),
    ([("static", Status.INFRASTRUCTURE), ("chain", Status.OK)], "did not end ok"),
    ([("static", Status.GATE), ("chain", Status.OK)], "did not end ok"),
])
def test_a_report_does_not_contradict_itself(stages: list[tuple[str, Status]], said: str) -> None:
    results = tuple(StageResult(stage=name, status=status, code="" if status is Status.OK else "why")
                    for name, status in stages)
    with pytest.raises(ValueError, match=said):
        Report(results=results)
