"""What stages resolve is told before they are bought: at the start, and once more when rows of controls tell it closer."""
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent import campaign as campaigns
from agent.campaign import Campaign
from agent.cli.live import watch_for
from agent.cli.sight import sight_text
from agent.estimate_past import Past
from agent.estimate_power import Resolves, resolves
from agent.tables import StageTable
from search.candidate import Entry, flow_record
from search.store.archive import Archive
from tests.agent.ideas import archive_of
from tests.search import made


def campaign(**settings: Any) -> Campaign:
    stage = {"name": "retrieval", "tasks": ["multikey-1k-full"], "samples": 160, **settings}
    return replace(campaigns.load("quickstart"), stages=(StageTable.model_validate({"name": "static"}),
                                                         StageTable.model_validate(stage)))


def entries() -> list[Entry]:
    """Dense decode, an algorithm that fails where dense does and on a few more, and one that proposes nothing new."""
    dense, quest, other = made.dense(1, 0.7), made.entry(2, 0.6, tier="control", round=0), made.entry(3, 0.6)
    graphs = (None, made.graph(), made.graph())
    return [replace(one, candidate=replace(one.candidate, flow=flow_record(one.candidate.name, one.candidate.name, graph)))
            for one, graph in zip((dense, quest, other), graphs, strict=True)]


def past(found: Sequence[Entry]) -> Past:
    return Past(row_s={}, dense=found[0].by_stage, passed={}, candidates=0, algorithms=[one.by_stage for one in found[1:]])


def test_rows_of_an_algorithm_on_the_same_problems_tell_it_closer() -> None:
    alone, both = (resolves(campaign(), past(entries()[:count]))[0] for count in (1, 2))
    assert alone.at_most and not both.at_most and both.difference < 0.7 * alone.difference
    assert resolves(campaign(tasks=["vt-1k-4hop"]), past(entries()))[0].at_most              # rows of another task
    assert resolves(replace(campaign(), stages=campaign().stages[:1]), past(entries())) == ()


@pytest.mark.parametrize("as_json", [False, True])
def test_it_is_told_at_the_start_and_again_before_the_first_candidate(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                                      as_json: bool) -> None:
    def told() -> list[Any]:
        text = capsys.readouterr().out
        if not as_json:
            return [line for line in text.splitlines() if line.startswith("resolves")]
        events = [json.loads(line) for line in text.splitlines()]
        return [Resolves(**one) for event in events if event["event"] == "resolves" for one in event["stages"]]

    def expected(count: int) -> list[Any]:
        found = resolves(campaign(), past(entries()[:count]) if count else Past(row_s={}, dense={}, passed={}, candidates=0))
        return list(found) if as_json else [sight_text(found)]

    dense, quest, other = entries()
    archive_of(tmp_path, [])
    with watch_for(campaign(), str(tmp_path / "made.db"), quiet=False, json=as_json) as watch:
        assert told() == expected(0)
        archive_of(tmp_path, [dense, quest])
        watch.candidate_started(quest.candidate)
        assert told() == []
        watch.candidate_started(other.candidate)
        assert told() == expected(2)
        watch.candidate_started(other.candidate)
        assert told() == []


def test_nothing_is_told_where_quiet_was_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with watch_for(campaign(), str(tmp_path / "none.db"), quiet=True, json=False) as watch:
        watch.candidate_started(entries()[2].candidate)
    assert capsys.readouterr().out == ""


def test_an_archive_tells_rows_of_controls_that_are_algorithms(tmp_path: Path) -> None:
    archive, _ = archive_of(tmp_path, entries())
    found = Past.of(archive, campaign().point)
    assert len(found.dense["retrieval"]) == 40 and len(found.algorithms) == 1
    assert Past.of(archive, campaign().point.with_(model="another")).dense == {}
    assert _of_the_newest(archive) == {}


def _of_the_newest(archive: Archive) -> Any:
    archive.create_campaign("later", "", {}, 1)
    return Past.of(archive, campaign().point, newest=1).dense


def test_the_line_is_short() -> None:
    found = [Resolves(stage="retrieval", difference=0.183, at_most=False), Resolves(stage="exam", difference=1.0, at_most=True)]
    assert sight_text(found) == "resolves  retrieval .18  exam at most 1.00"
