"""Settings of stages and gates: what is accepted, and what one is told otherwise."""
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.report import Estimate
from evaluator.stages import STAGES, make_stage
from evaluator.stages.numerics import lengths
from evaluator.stages.settings import Gate
from vortex.budget import budget, num_blocks
from vortex.config import OperatingPoint
from vortex.errors import CampaignError


@pytest.mark.parametrize(("name", "settings", "message", "hint"), [
    ("retreival", {}, "there is no stage retreival", "Did you mean retrieval?"),
    ("retrieval", {"smaples": 3}, "no setting smaples", "Did you mean samples?"),
    ("retrieval", {"samples": 0}, "samples", ""),
    ("retrieval", {"tasks": ["vt-1k"]}, "no preset vt-1k", "Did you mean vt-1k-4hop?"),
    ("retrieval", {"tasks": ["vt-1k-4hop", "vt-1k-4hop"]}, "stands 2 times", ""),
    ("retrieval", {"tasks": []}, "tasks", ""),
    ("chain", {"gate": "0.85 of dense"}, "cannot read the gate", ">= 0.85 of dense"),
    ("chain", {"gate": ">= 85 of dense"}, "cannot read the gate", "from 0 to 1"),
    ("chain", {"gate": "maybe >= 0.85 of dense"}, "cannot read the gate", '"possibly"'),
    ("speed", {"context": 0}, "context", ""),
    ("speed", {"repeats": 1}, "repeats", "It is 1 here."),
    ("speed", {"batch": [4, 4]}, "batch: a size stands twice", "[4, 4]"),
    ("traces", {"reject": {"speed": 2}}, "traces: reject: speed is no proxy", ""),
    ("numerics", {"tolerance": -1}, "tolerance", ""),
    ("static", {"timeout_s": 0}, "timeout_s", ""),
])
def test_a_mistake_in_a_stage_is_named(name: str, settings: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(CampaignError) as refusal:
        make_stage(name, settings)
    assert message in refusal.value.message
    assert hint in refusal.value.hint


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_stands_by_its_name_and_needs_no_setting(name: str) -> None:
    """But for the tasks of reasoning: there is no default one."""
    assert make_stage(name, {"tasks": ["math:small"]} if name == "reasoning" else {}).name == name


def test_one_context_or_several() -> None:
    point = OperatingPoint()
    assert [p.id for p in make_stage("speed", {"context": 4096}).problems(point)] == ["b8-c4096"]
    assert [p.id for p in make_stage("speed", {"context": [64, 128], "batch": 2}).problems(point)] == ["b2-c64", "b2-c128"]


@pytest.mark.parametrize(("text", "dense", "threshold"), [
    (">= 0.85 of dense", 0.8, 0.68), (">=0.5", None, 0.5), ("  >= 1 of dense ", 0.9, 0.9), (">= .5", 0.9, 0.5),
    ("possibly >= 0.85 of dense", 0.8, 0.68), ("surely >=0.5", None, 0.5),
])
def test_gates(text: str, dense: float | None, threshold: float) -> None:
    gate = Gate.parse(text)
    assert gate.threshold(dense) == pytest.approx(threshold)
    assert Gate.parse(str(gate)) == gate


@pytest.mark.parametrize(("text", "passed"), [
    (">= 0.7", True), (">= 0.71", False), ("possibly >= 0.8", True), ("possibly >= 0.81", False), ("surely >= 0.6", True),
    ("surely >= 0.61", False),
])
def test_which_end_of_an_interval_must_reach_a_gate(text: str, passed: bool) -> None:
    assert Gate.parse(text).passed_by(Estimate(value=0.7, low=0.6, high=0.8, count=9)) is passed


def test_a_gate_relative_to_a_control_that_was_not_measured_is_refused() -> None:
    with pytest.raises(CampaignError, match="dense control"):
        Gate.parse(">= 0.85 of dense").threshold(None)


@given(st.sampled_from([4, 16, 64]), st.integers(0, 12), st.floats(0, 0.5))
def test_numerics_prompts_end_below_and_above_the_budget(size: int, topk_val: int, ratio: float) -> None:
    point = OperatingPoint(block_size=size, topk_val=topk_val, topk_ratio=ratio)
    found = lengths(point)
    assert len(set(found)) == len(found)
    blocks = [num_blocks(length, size) for length in found]
    fits = [n <= budget(n, point) for n in blocks]
    assert any(fits)
    assert not all(fits)
    assert any(length % size for length in found)


def test_problems_travel_without_answers() -> None:
    problem = make_stage("retrieval", {"samples": 1}).problems(OperatingPoint())[0]
    assert set(problem.ask) == {"prompt", "max_new_tokens"}
    assert problem.ask["prompt"].endswith(":")
