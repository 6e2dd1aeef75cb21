"""The archive keeps what it is told: once, whole, and in the words it was told."""
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from evaluator.report import UNMEASURED, Estimate, Row, StageResult, Status
from search.candidate import Candidate, Draft, flow_record
from search.novelty import earlier
from search.store import Archive, open_archive
from search.store.tables import ContentRow, FlowContentRow
from tests.search.made import WEIGHED, graph, parameter, weighed
from vortex.compiler.identity.form import identity
from vortex.config import OperatingPoint
from vortex.errors import CampaignError

POINT = OperatingPoint()
FIGURES = st.floats(allow_nan=False, allow_infinity=False).map(lambda x: x + 0.0)     # databases know one zero only
DATA = st.dictionaries(st.text(max_size=5), st.none() | st.booleans() | st.integers(-2**70, 2**70) | st.floats()
                       | st.text(max_size=5) | st.lists(st.floats(), max_size=3), max_size=3)
ROWS = st.lists(st.builds(Row, stage=st.sampled_from(["retrieval", "chain"]), problem=st.sampled_from("abc"),
                          repeat=st.integers(0, 1), score=FIGURES, exact=FIGURES, seconds=FIGURES, data=DATA),
                unique_by=lambda row: (row.stage, row.problem, row.repeat), max_size=8)


def draft(slot: int = 0, *, round: int = 0, source: str = "# text", point: OperatingPoint = POINT,
          campaign: str = "one", name: str = "flow", control: bool = False) -> Draft:
    return Draft(campaign=campaign, round=round, slot=slot, name=name, flow=flow_record(name, source, None),
                 point=point, author="evolve", hypothesis="it may be faster", parents=(4, 2),
                 tier="control" if control else "provisional")


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    opened = open_archive(tmp_path / "results.db")
    opened.create_campaign("one", "[campaign]", {"seed": 7, "share": 0.1}, 7)
    return opened


def reopened(archive: Archive) -> Archive:
    return open_archive(str(archive.database.place), create=False)


def test_a_campaign_comes_back_as_it_was_made(archive: Archive) -> None:
    archive.set_state("one", "finished")
    found = reopened(archive).campaign("one")
    assert found is not None
    assert (found.text, found.settings) == ("[campaign]", {"seed": 7, "share": 0.1})
    assert (found.seed, found.state) == (7, "finished")


def test_the_numbers_of_parameters_are_kept_once_and_come_back(archive: Archive) -> None:
    for slot, (name, factor) in enumerate([("one", 1.0), ("two", 1.0), ("three", 2.0)]):
        flow = flow_record(name, f"{WEIGHED}# {name}", weighed(factor))
        assert flow.graph_json is not None and parameter(factor).data.hex() not in flow.graph_json
        archive.add_candidate(replace(draft(slot), flow=flow))
        archive.add_candidate(replace(draft(slot, round=1), flow=flow))
    archive.add_candidate(draft(3))
    again = reopened(archive)
    found = [one.flow.graph for one in again.candidates("one")]
    assert [graph.parameters[0].data for graph in found if graph] == [
        parameter(factor).data for factor in (1.0, 1.0, 2.0, 1.0, 1.0, 2.0)]
    with again.database.read() as session:
        assert len(session.scalars(select(ContentRow)).all()) == 2
        assert len(session.scalars(select(FlowContentRow)).all()) == 3
    first = again.candidate(found_id(again))
    assert first is not None and first.flow.contents[parameter().digest] is again.database.contents[parameter().digest]
    hashes = {graph.hash for graph in found if graph}
    assert len(hashes) == 2 and again.find_hash("one", identity(weighed(2.0)), POINT.hash) is not None


def found_id(archive: Archive) -> int:
    return archive.candidates("one")[0].id


def test_the_latest_campaign_is_the_one_made_last(archive: Archive) -> None:
    archive.create_campaign("two", "", {}, 2**40)
    latest = archive.latest_campaign()
    assert latest is not None and (latest.name, latest.seed) == ("two", 2**40)
    assert [one.name for one in archive.campaigns()] == ["one", "two"]


def test_a_name_is_given_once(archive: Archive) -> None:
    with pytest.raises(CampaignError, match="there is a campaign one already"):
        archive.create_campaign("one", "", {}, 0)


def test_an_unknown_campaign_is_refused_with_the_command_that_lists_them(archive: Archive) -> None:
    with pytest.raises(CampaignError, match="there is no campaign three") as refusal:
        archive.add_candidate(draft(campaign="three"))
    assert "vortex status" in refusal.value.hint
    assert archive.campaign("three") is None


def test_a_candidate_comes_back_as_it_was_drafted(archive: Archive) -> None:
    told = draft(source="import x\r\n\tπ ≈ 3\n", point=POINT.with_(topk_ratio=0.1, layers_skip=(0, 3)))
    made = archive.add_candidate(told)
    found = reopened(archive).candidate(made.id)
    assert found == made
    assert {name: getattr(found, name) for name in vars(told)} == vars(told)
    assert found is not None and found.status is None
    assert archive.candidate(made.id + 1) is None


def test_a_slot_is_taken_once(archive: Archive) -> None:
    first = archive.add_candidate(draft())
    assert archive.add_candidate(draft(source="# another text", name="another")) == first
    assert archive.candidates("one") == (first,)


def test_candidates_stand_in_the_order_of_their_slots_not_of_their_arrival(archive: Archive) -> None:
    for round, slot in ((1, 1), (0, 1), (1, 0), (0, 0)):
        archive.add_candidate(draft(slot, round=round))
    assert [(one.round, one.slot) for one in archive.candidates("one")] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_a_duplicate_keeps_its_own_text_and_names_the_first(archive: Archive) -> None:
    shared = graph()
    first, second = (replace(draft(slot), flow=flow_record(name, source, shared))
                     for slot, name, source in ((0, "first", "# a"), (1, "second", "# b")))
    one = archive.add_candidate(first)
    two = archive.add_candidate(second)
    assert earlier(archive, first) is None
    assert earlier(archive, second) == one
    ended = archive.finish(two, Status.DUPLICATE, one.id)
    assert (ended.status, ended.duplicate_of, ended.flow.source) == (Status.DUPLICATE, one.id, "# b")


@pytest.mark.parametrize("other", [
    draft(1, source="# other"), draft(1, point=POINT.with_(topk_ratio=0.5)), draft(1, campaign="two")],
    ids=["flow", "point", "campaign"])
def test_another_flow_point_or_campaign_is_new(archive: Archive, other: Draft) -> None:
    archive.create_campaign("two", "", {}, 0)
    archive.add_candidate(draft())
    assert earlier(archive, other) is None
    assert earlier(archive, draft(1)) is not None


@settings(max_examples=30, deadline=None)
@given(rows=ROWS, data=st.data())
def test_rows_in_any_order_and_again_are_kept_once_and_bit_for_bit(
        tmp_path_factory: pytest.TempPathFactory, rows: list[Row], data: st.DataObject) -> None:
    archive = open_archive(tmp_path_factory.mktemp("rows") / "results.db")
    archive.create_campaign("one", "", {}, 0)
    candidate = archive.add_candidate(draft())
    again = data.draw(st.lists(st.sampled_from(rows), max_size=4)) if rows else []
    for row in data.draw(st.permutations(rows + again)):
        archive.book(candidate).add(row)
    kept = reopened(archive).rows(candidate)
    assert sorted(map(repr, kept)) == sorted(map(repr, rows))      # repr takes nan for nan
    for stage in ("retrieval", "chain"):
        assert repr([r for r in kept if r.stage == stage]) == repr(list(archive.book(candidate).rows(stage)))


def test_the_first_row_of_a_problem_stays(archive: Archive) -> None:
    book = archive.book(archive.add_candidate(draft()))
    book.add(Row(stage="chain", problem="a", score=0.25))
    book.add(Row(stage="chain", problem="a", score=0.75))
    assert [row.score for row in book.rows("chain")] == [0.25]


def test_a_score_that_is_no_number_is_a_bug_of_ours(archive: Archive) -> None:
    book = archive.book(archive.add_candidate(draft()))
    with pytest.raises(AssertionError):
        book.add(Row(stage="chain", problem="a", score=float("nan")))


def close(archive: Archive, candidate: Candidate, stage: str, status: Status, environment: int | None = None) -> None:
    metrics = {} if status in UNMEASURED else {stage: Estimate(value=0.1, low=0.0, high=1 / 3, count=3)}
    archive.book(candidate, environment).close(StageResult(
        stage=stage, status=status, code="" if status is Status.OK else "why", metrics=metrics,
        facts={"bytes": 7, "context": [8192]}))


def test_a_report_stands_in_the_order_of_the_funnel_after_a_stage_was_run_again(archive: Archive) -> None:
    candidate = archive.add_candidate(draft())
    assert archive.book(candidate).result("static") is None
    close(archive, candidate, "static", Status.OK)
    close(archive, candidate, "retrieval", Status.INFRASTRUCTURE)
    assert archive.report(candidate).status is Status.INFRASTRUCTURE
    close(archive, candidate, "retrieval", Status.OK)
    close(archive, candidate, "chain", Status.GATE)
    report = archive.report(candidate)
    assert [(r.stage, r.status) for r in report.results] == [
        ("static", Status.OK), ("retrieval", Status.OK), ("chain", Status.GATE)]
    assert report.results[2] == archive.book(candidate).result("chain")
    assert report.results[2].metrics["chain"] == Estimate(value=0.1, low=0.0, high=1 / 3, count=3)
    assert report.results[2].facts == {"bytes": 7, "context": [8192]}


def test_dense_rows_are_those_of_the_same_campaign_and_model(archive: Archive) -> None:
    archive.create_campaign("two", "", {}, 0)
    elsewhere = archive.add_candidate(draft(name="dense", control=True, campaign="two"))
    other = archive.add_candidate(draft(1, name="dense", control=True, point=POINT.with_(model="other")))
    control = archive.add_candidate(draft(2, name="dense", control=True))
    for candidate, score in ((elsewhere, 0.1), (other, 0.2), (control, 0.3)):
        archive.book(candidate).add(Row(stage="chain", problem="a", score=score))
    candidate = archive.add_candidate(draft(3, point=POINT.with_(topk_ratio=0.5)))
    assert [row.score for row in archive.book(candidate).dense("chain")] == [0.3]
    assert archive.book(candidate).dense("speed") == ()


def test_before_the_dense_control_there_are_no_dense_rows(archive: Archive) -> None:
    proposal = archive.add_candidate(draft(name="dense"))
    archive.book(proposal).add(Row(stage="chain", problem="a", score=1.0))
    assert archive.book(proposal).dense("chain") == ()


def test_entries_hold_reports_of_all_and_rows_of_those_that_ended_ok(archive: Archive) -> None:
    candidates = [archive.add_candidate(draft(slot)) for slot in range(3)]
    for candidate in candidates:
        archive.book(candidate).add(Row(stage="chain", problem="a", score=1.0, data={"text": "long"}))
        close(archive, candidate, "chain", Status.OK)
    archive.finish(candidates[0], Status.OK)
    archive.finish(candidates[1], Status.GATE)
    entries = archive.entries("one")
    assert [entry.candidate.status for entry in entries] == [Status.OK, Status.GATE, None]
    assert [len(entry.report.results) for entry in entries] == [1, 1, 1]
    assert [[row.score for row in entry.rows] for entry in entries] == [[1.0], [], []]


def test_an_environment_is_kept_once_and_found_by_what_was_measured_in_it(archive: Archive) -> None:
    here, there = archive.environment({"cpu": "a", "cores": 2}), archive.environment({"cpu": "b"})
    assert archive.environment({"cores": 2, "cpu": "a"}) == here != there
    candidate = archive.add_candidate(draft())
    close(archive, candidate, "static", Status.OK, here)
    close(archive, candidate, "chain", Status.OK, here)
    assert archive.environments(candidate) == ({"cpu": "a", "cores": 2},)


def test_events_stand_in_the_order_they_were_told(archive: Archive) -> None:
    archive.create_campaign("two", "", {}, 0)
    for kind in ("started", "stopped"):
        archive.event("one", kind, {"at": 0.1})
    archive.event("two", "started", {})
    assert [event.kind for event in archive.events("one")] == ["started", "stopped"]
    assert archive.events("one")[0].data == {"at": 0.1}


def test_the_search_sees_nothing_of_exams_unless_it_asks(archive: Archive) -> None:
    candidate = archive.add_candidate(draft())
    book = archive.book(candidate)
    for stage, problem in (("chain", "t/7/0"), ("confirm", "chain/t/confirm/0"), ("sealed", "chain/t/sealed/0")):
        book.add(Row(stage=stage, problem=problem, score=1.0))
        book.close(StageResult(stage=stage, status=Status.OK, facts={"confirmed": True}))
    archive.finish(candidate, Status.OK, tier="confirmed")
    whole, = archive.entries("one", exams=True)
    assert (whole.candidate.tier, len(whole.rows), len(whole.report.results)) == ("confirmed", 3, 3)
    seen, = archive.entries("one")
    assert seen.candidate.tier == "provisional"
    assert [row.stage for row in seen.rows] == [one.stage for one in seen.report.results] == ["chain"]
