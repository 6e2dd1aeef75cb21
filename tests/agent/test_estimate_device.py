"""Device time of a campaign before it is run: what it rests on is said, and follows the file."""
import json
from dataclasses import replace
from pathlib import Path

import pytest

from agent import campaign as campaigns
from agent.cli.main import main
from agent.estimate_device import ASSUMED_PASS, DeviceEstimate, StageCost, estimate_device
from agent.estimate_past import Past
from agent.tables import StageTable
from evaluator.report import Row
from evaluator.statistics import detectable
from vortex.errors import PointError

NOTHING = Past(row_s={}, dense={}, passed={}, candidates=0)


def lines(found: DeviceEstimate) -> dict[str, StageCost]:
    return {line.stage: line for line in found.lines}


def test_without_a_past_seconds_come_from_a_roofline_and_shares_from_assumptions() -> None:
    found = estimate_device(campaigns.load("smoke"), NOTHING, per_hour=2.0)
    by_stage = lines(found)
    assert {"roofline of one CPU core", "assumed", "arithmetic"} >= {line.seconds_from for line in found.lines}
    shares = [line.reach for line in found.lines]
    assert shares[0] == 1 and shares == sorted(shares, reverse=True)
    assert found.dollars == pytest.approx(2 * found.hours) and found.hours == pytest.approx(sum(x.hours for x in found.lines))
    assert next(iter(by_stage)) == "static" and found.lines[1].reach == ASSUMED_PASS["static"]


def test_a_past_replaces_both_and_narrows_what_can_be_resolved() -> None:
    campaign = campaigns.load("smoke")
    stage = next(spec.name for spec in campaign.stages if spec.name in ("retrieval", "chain"))
    task = next(spec.settings["tasks"][0] for spec in campaign.stages if spec.name == stage)
    dense = [Row(stage=stage, problem=f"{task}/1/{i}", score=1.0, seconds=2.0) for i in range(32)]
    past = Past(row_s={stage: 2.0}, dense={stage: dense}, passed={"static": 0.5, stage: 0.25}, candidates=40)
    known, guessed = (lines(estimate_device(campaign, one))[stage] for one in (past, NOTHING))
    settings = next(spec.settings for spec in campaign.stages if spec.name == stage)
    assert known.seconds_from == "past rows" and known.seconds == pytest.approx(
        2.0 * known.rows / min(settings.get("chunk", 32), known.rows))
    after_static = estimate_device(campaign, past).lines[1]
    assert (after_static.reach, after_static.reach_from) == (0.5, "40 candidates")
    assert known.resolves is not None and guessed.resolves is not None and known.resolves < guessed.resolves


def test_workers_share_the_wall_clock_and_no_hours() -> None:
    one, four = (estimate_device(campaigns.load("smoke"), NOTHING, workers=n) for n in (1, 4))
    assert four.hours == one.hours and four.wall_hours == pytest.approx(one.wall_hours / 4)


def test_a_gpu_is_asked_of_its_roofline_even_where_rows_are_known() -> None:
    campaign = campaigns.load("smoke")
    past = Past(row_s={"retrieval": 2.0, "chain": 2.0}, dense={}, passed={}, candidates=0)
    told = {line.seconds_from for line in estimate_device(campaign, past, gpu="h200").lines}
    assert "roofline of H200" in told and "past rows" not in told
    with pytest.raises(PointError, match="there is no GPU 'h201'"):
        estimate_device(campaign, past, gpu="h201")


def test_confirm_counts_what_it_repeats_and_resolves_more() -> None:
    found = lines(estimate_device(campaigns.load("full"), NOTHING))
    assert found["confirm"].rows == 4 * 80 + 20
    assert found["confirm"].candidates < found["retrieval"].candidates
    assert found["confirm"].resolves is not None and found["retrieval"].resolves is not None
    assert found["confirm"].resolves < found["retrieval"].resolves


def test_a_set_of_few_problems_resolves_no_more_than_they_do() -> None:
    """The maths set of our own has 40, whatever number is asked for; each is asked twice."""
    campaign = campaigns.load("full")
    stages = [StageTable.model_validate({"name": "reasoning", "tasks": ["math:small"], "repeats": 2, "max_new_tokens": 64})]
    line, = estimate_device(replace(campaign, stages=tuple(stages)), NOTHING).lines
    assert (line.rows, line.resolves) == (80, detectable(None, 40, 2))


def test_no_more_candidates_take_the_exam_than_it_allows() -> None:
    campaign = replace(campaigns.load("full"), candidates=10_000)
    stages = (*campaign.stages[:-1], StageTable.model_validate({"name": "confirm", "most": 3}))
    found = lines(estimate_device(replace(campaign, stages=stages), NOTHING))
    assert found["confirm"].candidates == 3 + len(campaign.controls) + 3       # three of them at the other share too


def test_the_command_tells_both_kinds_of_cost(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    nowhere = str(tmp_path / "none.db")
    with pytest.raises(SystemExit):
        main(["estimate", "smoke", "--db", nowhere, "--per-hour", "3", "--workers", "2"])
    text = capsys.readouterr().out
    assert "asks no language model" in text and "device-hours" in text and "on 2 workers" in text and "at most" in text
    with pytest.raises(SystemExit):
        main(["estimate", "smoke", "--db", nowhere, "--json"])
    body = json.loads(capsys.readouterr().out)
    assert body["device"]["workers"] == 1 and body["device"]["lines"][0]["stage"] == "static"
