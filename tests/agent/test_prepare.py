"""What is refused before a campaign measures anything: data that are missing, exams that see nothing new, data that changed."""
from pathlib import Path
from typing import Any

import pytest

from agent.campaign import from_json
from agent.clock import Clock
from agent.crew import Crew
from agent.exams import CONFIRM, exam
from agent.opening import EVENT, hold_to
from agent.prepare import prepare
from evaluator.tasks.reader import Reader
from search.store.archive import open_archive
from tests.agent.test_cli import vortex
from tests.tasks.test_fixed import lines, problems
from vortex.errors import CampaignError

MEASURED = {"identity": "abc", "identity_by_sizes": "old", "tasks": {"math:small": "fixed-1 40"}, "cores": 2}
FILE = """
[campaign]
name = "made"
controls = ["dense"]
[budget]
candidates = 1
[point]
model = "probe"
[[proposer]]
kind = "evolve"
[[stage]]
name = "retrieval"
tasks = ["multikey-512-full", "file:gone.jsonl"]
samples = 2
"""


def campaign(**changes: Any) -> Any:
    stage = {"name": "retrieval", "tasks": ["math:small"], "samples": 4, "max_new_tokens": 8, **changes}
    return from_json({"campaign": {"name": "made", "controls": ["dense"]}, "budget": {"candidates": 1},
                      "proposer": [{"kind": "evolve"}],
                      "stage": [stage, {"name": "speed", "batch": 1, "context": 64}, {"name": "confirm", "samples": 4}]}, "made")


def test_missing_problems_end_the_command_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "made.toml").write_text(FILE)
    done = vortex("run", "made.toml", "--db", "made.db", folder=tmp_path)
    assert done.returncode == 2 and "gone.jsonl" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "made.db").exists()


def test_problems_that_the_model_cannot_read_are_refused() -> None:
    with pytest.raises(CampaignError, match="tokenizer mismatch: probe cannot spell the problems of math:small"):
        prepare(campaign(temperature=0.6))


@pytest.mark.parametrize(("changes", "refused"), [
    ({}, True), ({"temperature": 0.6}, False), ({"tasks": ["multikey-512-full"]}, False), ({"tasks": ["file:{many}"]}, False),
])
def test_an_exam_that_would_see_what_the_search_saw_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                               changes: dict[str, Any], refused: bool) -> None:
    monkeypatch.setattr(Reader, "spells", lambda reader, text: True)       # the probe knows no sums
    many = lines(tmp_path / "many.jsonl", problems(120))
    made = campaign(**{name: [one.format(many=many) for one in value] if name == "tasks" else value
                       for name, value in changes.items()})
    asked = exam(made.stages, CONFIRM, 7)
    if not refused:
        prepare(made)
        assert asked.problems(made.point)
        return
    for attempt in (lambda: prepare(made), lambda: asked.problems(made.point)):
        with pytest.raises(CampaignError, match="math:small is too small") as error:
            attempt()
        assert "temperature" in error.value.hint
    prepare(made, measures=False)


@pytest.mark.parametrize(("changes", "told"), [
    ({"identity": "xyz"}, ["model: abc then, xyz now"]),
    ({"tasks": {"math:small": "fixed-1 41"}}, ["task math:small: fixed-1 40 then, fixed-1 41 now"]),
    ({"tasks": {}}, ["task math:small: fixed-1 40 then, absent now"]),
])
def test_data_that_changed_since_the_campaign_began_are_refused(tmp_path: Path, changes: dict[str, Any], told: list[str]) -> None:
    archive = open_archive(tmp_path / "results.db")
    archive.create_campaign("made", "", {}, 0)
    hold_to(archive, "made", MEASURED)
    hold_to(archive, "made", {**MEASURED, "cores": 64})
    with pytest.raises(CampaignError, match="changed since it began") as error:
        hold_to(archive, "made", {**MEASURED, **changes})
    assert [line.strip() for line in error.value.message.splitlines()[1:]] == told


@pytest.mark.parametrize(("changes", "told"), [
    ({}, ""), ({"identity": "xyz"}, ""), ({"tasks": {"math:small": "fixed-1 40", "file:audited.jsonl": "fixed-1 3"}}, ""),
    ({"identity_by_sizes": "xyz"}, "model: old then, xyz now"), ({"tasks": {}}, "task math:small: fixed-1 40 then, absent now"),
])
def test_a_campaign_of_an_earlier_version_is_held_to_what_that_one_kept(tmp_path: Path, changes: dict[str, Any],
                                                                        told: str) -> None:
    archive = open_archive(tmp_path / "results.db")
    archive.create_campaign("made", "", {}, 0)
    archive.event("made", EVENT, {"model": "old", "task math:small": "fixed-1 40"})
    if not told:
        hold_to(archive, "made", {**MEASURED, **changes})
        return
    with pytest.raises(CampaignError, match=told):
        hold_to(archive, "made", {**MEASURED, **changes})


def test_waiting_for_several_is_evaluating_and_not_the_loop_s_own_time() -> None:
    clock = Clock()
    assert Crew(2, clock).each([lambda: 1, lambda: 2]) == [1, 2]
    assert "evaluating" in clock.shares()
