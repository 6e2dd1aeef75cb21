"""The audit stage on the real engine: real tasks' prompts under load, checked by the reference where nobody expects it."""
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from evaluator.cluster import LocalCluster
from evaluator.funnel import Funnel, MemoryBook, Silent, Work
from evaluator.report import Report, Status
from evaluator.stages import make_stage
from evaluator.stages.audit import AuditStage
from vortex import flows
from vortex.compiler.front import load
from vortex.config import OperatingPoint
from vortex.errors import CampaignError
from vortex.ir import Geometry, Graph
from vortex.serving.embedded.engine import EmbeddedEngine
from vortex.serving.engine import Completion, Request

pytestmark = pytest.mark.usefixtures("one_thread")
POINT = OperatingPoint(topk_ratio=0.125)
SETTINGS = {"tasks": ["multikey-512-full", "vt-512-4hop"], "samples": 2, "said": 6}


def graph(name: str) -> Graph:
    _, text, path = flows.read(name)
    return load(text, path, Geometry(16, 64, 2))


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    opened = LocalCluster()
    yield opened
    opened.stop()


def judge(cluster: LocalCluster, flow: Graph | None, book: MemoryBook | None = None,
          point: OperatingPoint = POINT) -> tuple[Report, MemoryBook]:
    book = book or MemoryBook()
    work = Work(name="flow", source="", graph=flow, point=point)
    return Funnel([make_stage("audit", SETTINGS)], cluster).judge(work, book, Silent()), book


class LongPrompts(EmbeddedEngine):
    """Selects as it is told for the short prompts of numerics' kind, and recent blocks once a long one is in the batch."""

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        if max(len(request.tokens) for request in requests) > 400:
            self.use(graph("recent"), POINT)
        return super().generate(requests)


@pytest.mark.parametrize(("name", "changes"), [("quest", {}), ("h2o", {}), ("quest", {"renew_every": 3})])
def test_an_honest_engine_passes(cluster: LocalCluster, name: str, changes: dict[str, object]) -> None:
    report, book = judge(cluster, graph(name), point=POINT.with_(**changes))
    assert report.status is Status.OK, report.results[0].message
    assert [row.problem for row in book.kept] == ["multikey-512-full/audit/0", "vt-512-4hop/audit/0",
                                                  "multikey-512-full/audit/1", "vt-512-4hop/audit/1"]
    assert min(row.data["compared"] for row in book.kept) >= 4
    assert all(row.data.keys() == {"compared", "agreed", "exchanged", "first"} for row in book.kept)


def test_an_engine_that_selects_otherwise_where_numerics_does_not_look_is_a_hack() -> None:
    report, book = judge(LocalCluster(lambda name: LongPrompts()), graph("quest"))
    last = report.results[-1]
    assert (last.status, last.code) == (Status.HACK, "selection-differs")
    assert last.message.startswith("of real requests, while numerics found none") and "the engine attended" in last.message
    assert len(book.kept) == 1                               # the rest is spared


def test_a_point_whose_layers_are_all_dense_is_left_out_with_the_reason(cluster: LocalCluster) -> None:
    report, book = judge(cluster, graph("quest"), point=POINT.with_(layers_skip=(0, 1, 2, 3)))
    assert (report.status, report.results[0].skipped, book.kept) == (Status.OK, True, [])
    assert report.results[0].message == "every layer of probe is dense at this point, so that nothing is selected"


def test_the_dense_control_selects_nothing(cluster: LocalCluster) -> None:
    report, book = judge(cluster, None)
    assert (report.status, book.kept) == (Status.OK, [])


def test_a_run_that_was_cut_off_goes_on_with_the_same_rows(cluster: LocalCluster) -> None:
    _, whole = judge(cluster, graph("quest"))
    _, resumed = judge(cluster, graph("quest"), MemoryBook(kept=whole.kept[:3]))
    assert [replace(row, seconds=0.0) for row in resumed.kept] == [replace(row, seconds=0.0) for row in whole.kept]


def test_prompts_and_the_tokens_they_are_taken_up_at_follow_the_seed_and_neither_travels() -> None:
    stage = make_stage("audit", SETTINGS)
    assert isinstance(stage, AuditStage)
    secret = stage.seeded(7)
    asked = [[problem.ask["prompt"] for problem in one.problems(POINT)] for one in (stage, secret, stage.seeded(7))]
    assert asked[0] != asked[1] == asked[2]
    assert {problem.ask["at"] for problem in stage.seeded(1).problems(POINT)} != \
        {problem.ask["at"] for problem in stage.seeded(2).problems(POINT)}
    assert [p.id for p in secret.problems(POINT)] == [p.id for p in stage.problems(POINT)]
    travelled = pickle.loads(pickle.dumps(secret))
    assert travelled.settings.seed == 0 and travelled.settings.tasks == secret.settings.tasks


def test_a_task_that_does_not_exist_is_refused() -> None:
    with pytest.raises(CampaignError, match="multikey"):
        make_stage("audit", {"tasks": ["multikey"]})
