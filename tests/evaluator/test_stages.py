"""Stages on the real engine and the shipped probe, with few and short problems."""
from collections.abc import Iterator

import pytest
import torch

from evaluator import guard
from evaluator.cluster import LocalCluster
from evaluator.funnel import Funnel, MemoryBook, Silent, Work
from evaluator.report import Estimate, Report, Row, Status
from evaluator.stage import Context
from evaluator.stages import make_stage
from vortex import flows
from vortex.compiler.front import load
from vortex.config import OperatingPoint
from vortex.ir import Geometry, Graph
from vortex.serving.embedded.engine import EmbeddedEngine

pytestmark = pytest.mark.usefixtures("one_thread")
POINT = OperatingPoint(topk_ratio=0.125)
ACCURACY = {"tasks": ["multikey-512-full", "vt-512-4hop"], "samples": 4, "chunk": 4}


def graph(name: str) -> Graph:
    _, text, path = flows.read(name)
    return load(text, path, Geometry(16, 64, 2))


def work(flow: Graph | None, point: OperatingPoint = POINT) -> Work:
    return Work(name="flow", source="", graph=flow, point=point)


def _context(flow: Graph) -> Context:
    return Context(point=POINT, graph=flow)


class Stubborn(EmbeddedEngine):
    """Serves recent blocks, whatever it is given."""

    def use(self, flow: Graph | None, point: OperatingPoint) -> None:
        super().use(graph("recent") if flow is not None else None, point)


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    opened = LocalCluster()
    yield opened
    opened.stop()


def judge(cluster: LocalCluster, stage: str, settings: dict[str, object], flow: Graph | None,
          book: MemoryBook | None = None) -> tuple[Report, MemoryBook]:
    book = book or MemoryBook()
    return Funnel([make_stage(stage, settings)], cluster).judge(work(flow), book, Silent()), book


@pytest.mark.parametrize("name", ["h2o", "infllm", "rocketkv", "twilight", "tidaldecode", "double-sparsity", "loki"])
def test_named_algorithms_pass_numerics_at_what_they_ask_of_the_point(cluster: LocalCluster, name: str) -> None:
    asked = POINT.with_(**{"renew_every": 3, **flows.settings(flows.read(name)[2])})
    book = MemoryBook()
    report = Funnel([make_stage("numerics", {})], cluster).judge(work(graph(name), asked), book, Silent())
    assert report.status == Status.OK, report.results[-1].message
    assert all(row.data["compared"] for row in book.kept)


@pytest.mark.parametrize("name", ["quest", "random", "running-average", "oracle", "dense"])
def test_an_honest_engine_passes_numerics(cluster: LocalCluster, name: str) -> None:
    report, book = judge(cluster, "numerics", {}, graph(name))
    assert report.status is Status.OK, report.results[0].message
    assert min(row.data["compared"] for row in book.kept) >= 40


def test_the_dense_control_has_nothing_to_compare(cluster: LocalCluster) -> None:
    report, book = judge(cluster, "numerics", {}, None)
    assert (report.status, book.kept) == (Status.OK, [])


def test_an_engine_that_selects_otherwise_fails_numerics() -> None:
    report, book = judge(LocalCluster(lambda name: Stubborn()), "numerics", {}, graph("quest"))
    assert (report.status, report.results[0].code) == (Status.NUMERICS, "selection-differs")
    assert "the engine attended" in report.results[0].message
    assert [row.score for row in book.kept if row.problem == "length/16"] == [1.0]      # it fits, and stays dense


def test_dense_decode_solves_what_a_poor_selector_cannot(cluster: LocalCluster) -> None:
    dense, kept = judge(cluster, "retrieval", ACCURACY, None)
    found = dense.metric("retrieval")
    assert found is not None
    assert found.value > 0.9
    book = MemoryBook(dense_rows=kept.kept)
    poor, rows = judge(cluster, "retrieval", {**ACCURACY, "gate": ">= 0.9 of dense"}, graph("random"), book)
    assert (poor.status, poor.results[0].code) == (Status.STOPPED, "below-gate")
    assert len(rows.kept) < len(kept.kept)


@pytest.mark.parametrize("keep", [1, 3, 5])
def test_answers_do_not_depend_on_where_a_run_was_cut_off(cluster: LocalCluster, keep: int) -> None:
    def answers(book: MemoryBook) -> dict[str, tuple[float, str]]:
        return {row.problem: (row.score, row.data["text"]) for row in book.kept}

    _, whole = judge(cluster, "retrieval", ACCURACY, graph("quest"))
    _, resumed = judge(cluster, "retrieval", ACCURACY, graph("quest"), MemoryBook(kept=whole.kept[:keep]))
    assert answers(resumed) == answers(whole)
    assert len(resumed.kept) == len(whole.kept) == 8


def test_chain_is_scored_by_its_own_metric(cluster: LocalCluster) -> None:
    report, _ = judge(cluster, "chain", {"tasks": ["chain-15"], "samples": 2}, None)
    assert report.metric("retrieval") is None
    found = report.metric("chain")
    assert found is not None
    assert (found.count, found.value) == (2, 1.0)


def test_speed_has_a_row_a_repeat_and_takes_only_what_is_missing(cluster: LocalCluster) -> None:
    settings: dict[str, object] = {"batch": 2, "context": [128, 256], "steps": 2, "warmup": 1, "repeats": 2}
    report, book = judge(cluster, "speed", settings, graph("quest"))
    assert {(row.problem, row.repeat) for row in book.kept} == {(f"b2-c{c}", r) for c in (128, 256) for r in (0, 1)}
    assert set(report.results[0].metrics) == {"speed", "step_ms", "dense_step_ms"}
    assert all(row.score == row.data["dense_step_ms"] / row.data["step_ms"] for row in book.kept)
    assert {row.data["memory_of"] for row in book.kept} == {"allocated" if torch.cuda.is_available() else "resident"}
    assert all(shape["memory_bytes"] > 1 << 20 for shape in report.results[0].facts["shapes"].values())
    _, resumed = judge(cluster, "speed", settings, graph("quest"), MemoryBook(kept=book.kept[:3]))
    assert resumed.kept[:3] == book.kept[:3]
    assert len(resumed.kept) == 4


def test_static_tells_what_a_flow_is_and_costs() -> None:
    result = make_stage("static", {}).result((), _context(graph("quest")))
    assert result.status is Status.OK
    assert result.facts["hash"] == graph("quest").hash
    assert [field["name"] for field in result.facts["fields"]] == ["hi", "lo"]
    assert result.facts["index_bytes_per_block"] == 2 * 64 * 4
    assert result.facts["bytes_per_row"] < result.facts["dense_bytes_per_row"] / 4


@pytest.mark.parametrize(("settings", "code"), [
    ({"summary_share": 0.01}, "SummaryTooLarge"), ({"widest_bytes": 1024}, "ValueTooLarge"),
])
def test_static_refuses_what_takes_too_much_memory(settings: dict[str, object], code: str) -> None:
    result = make_stage("static", settings).result((), _context(graph("quest")))
    assert (result.status, result.code) == (Status.REJECTED, code)


@pytest.mark.parametrize(("low", "suspicious"), [(3.0, False), (9.0, True)])
def test_a_speed_beyond_what_the_bytes_allow_is_kept_apart(low: float, suspicious: bool) -> None:
    row = Row(stage="speed", problem="b8-c8192", score=low, data={"bytes_per_step": 1, "dense_bytes_per_step": 4})
    estimate = Estimate(value=low, low=low, high=low, count=5)
    assert bool(guard.beyond_roofline(estimate, [row])) is suspicious
