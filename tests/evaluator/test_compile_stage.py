"""The compile stage: verdicts from the facts of kernels, real ones and ones with a fault each."""
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evaluator.cluster import LocalCluster
from evaluator.funnel import Funnel, MemoryBook, Silent, Work
from evaluator.report import Row, StageResult, Status
from evaluator.stage import Context
from evaluator.stages import compile as stage_file
from evaluator.stages import make_stage
from tests.compiler.kernels import built_kernels as made
from vortex import flows
from vortex.compiler.front import load
from vortex.compiler.kernels.kernel import Kernel
from vortex.compiler.kernels.report import HINTS
from vortex.config import OperatingPoint
from vortex.errors import CampaignError
from vortex.ir import Geometry, Graph

pytestmark = pytest.mark.usefixtures("own_cache")
POINT = OperatingPoint(topk_ratio=0.125, target="sm_90")


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    opened = LocalCluster()
    yield opened
    opened.stop()


def graph(name: str) -> Graph:
    _, text, path = flows.read(name)
    return load(text, path, Geometry(16, 64, 2))


def judge(cluster: LocalCluster, flow: Graph | None, point: OperatingPoint = POINT,
          book: MemoryBook | None = None, **settings: Any) -> StageResult:
    work = Work(name="flow", source="", graph=flow, point=point)
    return Funnel([make_stage("compile", settings)], cluster).judge(work, book or MemoryBook(), Silent()).results[0]


def serve(monkeypatch: pytest.MonkeyPatch, *kernels: Kernel) -> None:
    """Has the stage find these kernels, whatever the flow."""
    monkeypatch.setattr(stage_file, "kernels_of", lambda *_, **__: kernels)


def test_a_flow_is_built_for_the_target_and_what_was_found_is_kept(cluster: LocalCluster) -> None:
    book = MemoryBook()
    result = judge(cluster, graph("centroid"), book=book)
    assert result.status is Status.OK, result.message
    assert result.facts["target"] == "sm_90" and result.facts["kernels"] >= 3 and result.facts["registers"] > 16
    row, = book.kept
    assert (row.problem, row.score, row.exact) == ("sm_90", 1.0, 1.0)
    assert {"update", "plan", "score"} <= {kernel["name"] for kernel in row.data["kernels"]}


def test_without_a_target_nothing_is_built(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_file, "report_kernels", lambda *_, **__: pytest.fail("built"))
    result = judge(cluster, graph("quest"), OperatingPoint())
    assert (result.status, result.facts["note"]) == (Status.OK, "the point names no target")
    assert judge(cluster, None).status is Status.OK


@pytest.mark.parametrize(("kernel", "code", "said"), [
    (made.wrong, "error", "b is not defined"),
    (made.large, "shared-memory", "kernel large.product (matmul) wants 393,216 bytes of shared memory"),
    (made.spilling, "spills", "does not fit into the registers of sm_90"),
    (made.endless, "timeout", "within 2 s"),
])
def test_a_fault_ends_in_a_status_a_code_and_what_to_change(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch,
                                                            kernel: Kernel, code: str, said: str) -> None:
    serve(monkeypatch, made.score, kernel)
    book = MemoryBook()
    result = judge(cluster, graph("quest"), book=book, kernel_s=2.0 if code == "timeout" else 60.0)
    assert (result.status, result.code) == (Status.COMPILE, code)
    assert said in result.message and result.message.endswith(HINTS[code])
    assert (book.kept[0].score, book.kept[0].exact) == (0.5, 0.0)


def test_as_many_spilled_bytes_as_a_campaign_allows_pass(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, made.spilling)
    result = judge(cluster, graph("quest"), spilled_bytes=100_000)
    assert result.status is Status.OK and result.facts["spills"] > 1000


def test_what_the_target_has_no_type_for_is_refused_with_what_works(cluster: LocalCluster) -> None:
    result = judge(cluster, graph("relu-indexer"), POINT.with_(target="sm_80"))
    assert (result.status, result.code) == (Status.COMPILE, "error")
    assert "fp8" in result.message and "sm_90" in result.message


def test_a_folder_that_cannot_be_written_is_no_fault_of_the_flow(cluster: LocalCluster, tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VORTEX_CACHE", "/proc/nowhere")
    result = judge(cluster, graph("quest"))
    assert (result.status, result.code) == (Status.INFRASTRUCTURE, "CompileError")
    assert "no folder for built kernels" in result.message
    (tmp_path / "sources").touch()
    monkeypatch.setenv("VORTEX_CACHE", str(tmp_path))
    result = judge(cluster, graph("quest"))
    assert result.status is Status.INFRASTRUCTURE and "kernels cannot be built on this machine" in result.message


def test_a_verdict_follows_from_rows_alone() -> None:
    kernel = {"name": "score", "code": "spills", "registers": 255, "spills": 64, "shared": 10, "message": "it spills"}
    rows = [Row(stage="compile", problem="sm_90", score=0, data={"kernels": [kernel], "refused": ""})]
    result = make_stage("compile", {}).result(rows, Context(point=POINT, graph=graph("quest")))
    assert (result.code, result.message) == ("spills", f"it spills. {HINTS['spills']}")
    assert result.facts == {"target": "sm_90", "kernels": 1, "registers": 255, "spills": 64, "shared": 10}


def test_settings_are_checked_by_name() -> None:
    with pytest.raises(CampaignError, match="spilled_byte") as refusal:
        make_stage("compile", {"spilled_byte": 3})
    assert "spilled_bytes" in refusal.value.hint
