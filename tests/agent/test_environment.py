"""What an environment record says of what was measured: tasks and model by their contents."""
from dataclasses import replace
from pathlib import Path

import pytest

from agent.campaign import Campaign
from agent.environment import environment, measured
from agent.tables import StageTable
from evaluator.tasks.door import find_task
from tests.agent.asking import campaign
from tests.tasks.test_fixed import lines, problems
from vortex.serving.identity import identity


@pytest.fixture
def made() -> Campaign:
    return campaign({"kind": "evolve"})


def test_it_holds_the_tasks_and_the_model_by_their_contents(made: Campaign) -> None:
    record = measured(made)
    assert record.items() >= environment().items()
    assert (record["model"], record["identity"]) == (made.point.model, identity(made.point.model))
    assert record["tasks"] and all(record["tasks"].values())


def test_what_audit_and_traces_read_is_held_too(made: Campaign, tmp_path: Path) -> None:
    for name in ("audit", "traces", "reasoning"):
        (tmp_path / name).mkdir()
    files = {name: lines(tmp_path / name / "mine.jsonl", problems(4)) for name in ("audit", "traces", "reasoning")}
    asking = replace(made, stages=tuple(StageTable(name=name, tasks=[f"file:{file}"]) for name, file in files.items()))
    seen = [measured(asking)["tasks"]]
    for size, file in enumerate(files.values(), 5):
        lines(Path(file), problems(size))
        find_task.cache_clear()
        seen.append(measured(asking)["tasks"])
        assert list(seen[-1]) == ["file:mine"] and seen[-1] not in seen[:-1]


def test_a_model_that_does_not_lie_here_has_no_identity(made: Campaign) -> None:
    assert measured(replace(made, point=made.point.with_(model="nobody/has-this")))["identity"] == ""
