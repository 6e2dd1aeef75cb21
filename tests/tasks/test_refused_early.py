"""What stages and commands refuse of tasks before anything runs: seeds of another part, problems twice, too many tokens."""
from pathlib import Path
from typing import Any

import pytest

from agent.cli.main import main
from agent.exams import audited
from evaluator.stages import make_stage
from evaluator.stages.audit import AuditStage
from evaluator.tasks.parts import RANGE, SEALED_AT, part_of_seed
from tests.tasks.test_fixed import lines, problems
from vortex.config import OperatingPoint
from vortex.errors import CampaignError

SEALED = SEALED_AT * RANGE + 5


@pytest.mark.parametrize("seed", [-1, RANGE, SEALED])
@pytest.mark.parametrize("stage", ["numerics", "audit", "traces", "retrieval"])
def test_a_seed_of_another_part_is_refused(stage: str, seed: int) -> None:
    with pytest.raises(CampaignError, match=f"stage {stage}: seed"):
        make_stage(stage, {"seed": seed})
    assert make_stage(stage, {"seed": RANGE - 1}).name == stage


def test_an_audit_takes_its_seed_from_the_secret() -> None:
    stages = [audited(make_stage("audit", {}), secret) for secret in (7, 1 << 62)]
    seeds = [stage.settings.seed for stage in stages if isinstance(stage, AuditStage)]
    assert len(set(seeds)) == 2 and {part_of_seed(seed) for seed in seeds} == {"search"}


@pytest.mark.parametrize(("words", "why"), [
    (["tasks", "chain-30", "--seed", str(SEALED)], "--seed"), (["tasks", "chain-30", "--seed", "-1"], "--seed"),
    (["trace", "capture", "--to", "x", "--task", "chain-30", "--model", "probe", "--seed", str(SEALED)], "--seed"),
    (["estimate", "smoke", "--gpu", ""], "there is no GPU ''"), (["estimate", "smoke", "--gpu", "cpu"], "there is no GPU 'cpu'"),
    (["estimate", "smoke", "--per-hour", "inf"], "--per-hour inf"), (["estimate", "smoke", "--per-hour", "nan"], "--per-hour"),
])
def test_commands_refuse_what_means_nothing(capsys: pytest.CaptureFixture[str], words: list[str], why: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2 and why in capsys.readouterr().err


@pytest.mark.parametrize(("record", "settings", "why"), [
    ({"max_new_tokens": 10**23}, {}, "100,000,000,000,000,000,000,000 new ones"), ({}, {"max_new_tokens": 10**23}, "new ones"),
    ({"prompt": "the " * 4000}, {}, "4,000 tokens of a prompt and 256 new ones are more than the 4,096 of probe"),
    ({"prompt": "the " * 4000}, {"max_new_tokens": 97}, "and 97 new ones"),
])
def test_answers_that_the_model_cannot_hold_are_refused(tmp_path: Path, record: dict[str, Any], settings: dict[str, Any],
                                                        why: str) -> None:
    """The longest together is looked at, which need not have the longest prompt."""
    path = lines(tmp_path / "own.jsonl", [{"prompt": "letters " * 400, "answer": 1, "max_new_tokens": 1},
                                          {"prompt": "Red?", "answer": 1, **record}])
    stage = make_stage("retrieval", {"tasks": [f"file:{path}"], **settings})
    with pytest.raises(CampaignError, match=why):
        stage.problems(OperatingPoint())
    fits = make_stage("retrieval", {"tasks": [f"file:{path}"], "max_new_tokens": 96})
    assert len(fits.problems(OperatingPoint())) == 2


def test_the_same_problems_twice_and_no_temperature_are_refused(tmp_path: Path) -> None:
    own, copy, other = (lines(tmp_path / f"{name}.jsonl", problems(count)) for name, count in
                        (("own", 2), ("copy", 2), ("other", 3)))
    for tasks in ([f"file:{own}", f"file:{copy}"], ["ruler:vt:4k", "ruler:vt:4K", "ruler:vt:4096"]):
        with pytest.raises(CampaignError, match=f"{tasks[0]} and {tasks[1]} are the same problems"):
            make_stage("retrieval", {"tasks": tasks})
    assert make_stage("retrieval", {"tasks": [f"file:{own}", f"file:{other}"]})
    for temperature in ("inf", "nan", -1.0):
        with pytest.raises(CampaignError, match="temperature"):
            make_stage("retrieval", {"temperature": float(temperature)})
