"""A stage that was left out stands with its reason wherever a candidate is shown."""
import json
from pathlib import Path

import pytest

from agent.cli import show
from agent.cli.words import cells
from evaluator.cluster import LocalCluster
from evaluator.funnel import Funnel, Silent, Work
from evaluator.report import Status
from evaluator.stages.traces import make
from search.candidate import Candidate, Draft, Entry, flow_record
from search.manifest import Manifest
from search.page import page
from search.store.archive import Archive, open_archive
from tests.evaluator.scripted import Script, make_scripted
from tests.search.made import graph
from vortex.config import OperatingPoint

POINT = OperatingPoint(model="probe", engine="sglang")
WHY = "disagreement, kl lead the model along recorded answers, which the sglang engine cannot do"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    opened = open_archive(tmp_path / "results.db")
    opened.create_campaign("one", "", {}, 7)
    return opened


def judged(archive: Archive, *later: Script) -> Candidate:
    """In SGLang, where nothing can be led along recorded answers."""
    one = archive.add_candidate(Draft(campaign="one", round=1, slot=0, name="centroid", author="evolve", point=POINT,
                                      flow=flow_record("centroid", "# text", graph())))
    work = Work(name=one.name, source="", graph=graph(), point=POINT)
    report = Funnel([make({}), *later], LocalCluster(make_scripted)).judge(work, archive.book(one), Silent())
    return archive.finish(one, report.status)


def test_the_reason_is_kept_and_a_candidate_goes_on(archive: Archive) -> None:
    one = judged(archive, Script((1.0,), name="chain"))
    traces, chain = archive.report(one).results
    assert (traces.stage, traces.skipped, traces.message) == ("traces", True, WHY)
    assert (chain.stage, chain.skipped, one.status) == ("chain", False, Status.OK)
    assert cells(one, archive.report(one), ["static", "traces", "chain"])[1] == "skipped"


def test_show_says_what_was_left_out_and_why(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    one, db = judged(archive), str(archive.database.place)
    show.command(one.id, db=db)
    assert any(line.split() == ["traces", "skipped", *WHY.split()] for line in capsys.readouterr().out.splitlines())
    show.command(one.id, db=db, json=True)
    result, = json.loads(capsys.readouterr().out)["results"]
    assert (result["facts"], result["message"], result["metrics"]) == ({"skipped": True}, WHY, {})


def test_the_page_of_a_bundle_says_what_was_left_out_and_why(archive: Archive) -> None:
    one = judged(archive)
    manifest = Manifest(candidate=one.id, name=one.name, campaign="one", author="evolve", hypothesis="", lineage=(),
                        created_at=0.0, flow_hash="", point_hash="", seed=7, settings={}, versions={}, environments=(),
                        metrics={}, dense={}, files={})
    assert f"<td>traces</td><td>skipped</td><td>{WHY}</td>" in page(manifest, Entry(candidate=one, report=archive.report(one)))
