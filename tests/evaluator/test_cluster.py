"""A real Ray: what a candidate does to its worker ends as its own named failure, and the next candidate runs."""
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from ray import cloudpickle

from evaluator.cluster import Cluster, ClusterSettings
from evaluator.funnel import Funnel, MemoryBook, Silent, Work
from evaluator.report import Report, Status
from tests.evaluator import scripted
from tests.evaluator.scripted import POINT, Script, graph, make_scripted

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.server
SETTINGS = ClusterSettings(workers=2, memory_bytes=256 << 20, lives=2)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    cloudpickle.register_pickle_by_value(scripted)  # type: ignore[no-untyped-call]
    with Cluster(SETTINGS, make_scripted) as opened:
        yield opened
    cloudpickle.unregister_pickle_by_value(scripted)  # type: ignore[no-untyped-call]


def judge(cluster: Cluster, script: Script, name: str = "recent") -> tuple[Report, MemoryBook]:
    book = MemoryBook()
    work = Work(name=name, source="", graph=graph(name), point=POINT)
    return Funnel([script], cluster).judge(work, book, Silent()), book


@pytest.mark.parametrize(("move", "timeout_s", "status", "code"), [
    ("hang", 1.0, Status.TIMEOUT, "timeout"),
    ("eat", 60.0, Status.MEMORY, "out-of-memory"),
    ("start one that eats", 60.0, Status.MEMORY, "out-of-memory"),
    ("raise", 60.0, Status.CRASH, "ZeroDivisionError"),
    ("eat all", 60.0, Status.MEMORY, "out-of-memory"),
    ("die", 60.0, Status.CRASH, "worker-died"),
    ("be killed", 60.0, Status.INFRASTRUCTURE, "worker-lost"),
    ("be stopped", 60.0, Status.INFRASTRUCTURE, "worker-lost"),
    ("fill the disk", 60.0, Status.INFRASTRUCTURE, "disk-full"),
])
def test_a_bad_candidate_is_named_and_the_next_one_runs(cluster: Cluster, move: str, timeout_s: float, status: Status,
                                                        code: str) -> None:
    report, book = judge(cluster, Script((1.0, move, 1.0), timeout_s=timeout_s))
    assert (report.status, report.results[0].code) == (status, code)
    assert [row.problem for row in book.kept] == ["task/0"]
    assert judge(cluster, Script((1.0, 1.0)))[0].status is Status.OK


def test_a_worker_that_dies_once_is_replaced_and_goes_on(cluster: Cluster, tmp_path: Path) -> None:
    report, book = judge(cluster, Script((1.0, f"die once {tmp_path / 'mark'}", 1.0)))
    assert [row.problem for row in book.kept] == ["task/0", "task/1", "task/2"]
    assert report.status is Status.OK
    assert len({row.data["pid"] for row in book.kept}) == 2


def test_the_model_is_loaded_once_for_many_candidates(cluster: Cluster) -> None:
    books = [judge(cluster, Script((1.0, 1.0)), name)[1] for name in ("one", "two")]
    assert {row.data["started"] for book in books for row in book.kept} == {1}
    assert len({row.data["pid"] for book in books for row in book.kept}) == 1


def test_a_stage_stopped_early_leaves_the_worker_ready(cluster: Cluster) -> None:
    report, book = judge(cluster, Script((0.0, "hang"), gate=0.9, timeout_s=5.0))
    assert (report.status, len(book.kept)) == (Status.STOPPED, 1)
    assert judge(cluster, Script((1.0,)))[0].status is Status.OK


def test_stages_run_side_by_side_and_more_wait_for_their_turn(cluster: Cluster) -> None:
    script = Script((1.0, 1.0))
    one, other, third = (cluster.stream(script, None, POINT, script.problems(POINT), (), 60.0) for _ in range(3))
    assert cluster.slots == 2
    assert next(one).data["pid"] != next(other).data["pid"]
    got: list[str] = []
    waits = threading.Thread(target=lambda: got.extend(answered.problem for answered in third))
    waits.start()
    waits.join(0.5)
    assert got == []
    one.close()
    waits.join(30)
    assert got == ["task/0", "task/1"]
    assert [answered.problem for answered in other] == ["task/1"]


def test_an_engine_is_started_once_a_worker_however_many_stages_run(cluster: Cluster) -> None:
    judge(cluster, Script((1.0,)))
    before = {name: one.engine_starts for name, one in cluster.usage().items()}
    for name in ("one", "two", "three"):
        judge(cluster, Script((1.0, 1.0)), name)
    after = cluster.usage()
    assert {name: one.engine_starts for name, one in after.items()} == before
    assert len(after) == 2 and all(one.busy_s > 0 and one.idle_s > 0 for one in after.values())


def test_what_breaks_a_limit_is_ended_soon(cluster: Cluster) -> None:
    """Those that the candidates above broke."""
    assert len(cluster.overruns_s) >= 3 and max(cluster.overruns_s) < 20


OPEN = """
import psutil
from evaluator.cluster import Cluster
from tests.evaluator.scripted import POINT, Script, make_scripted
with Cluster(engines=make_scripted) as cluster:
    script = Script((1.0, "hang"))
    for answered in cluster.stream(script, None, POINT, script.problems(POINT), (), 60.0):
        print(*(child.pid for child in psutil.Process().children(recursive=True)), flush=True)
"""


def test_nothing_of_ray_outlives_a_killed_driver() -> None:
    """The worker is in an endless loop when the driver is killed."""
    with subprocess.Popen([sys.executable, "-c", OPEN], cwd=ROOT, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        children = [psutil.Process(int(pid)) for pid in driver.stdout.readline().split()]
        driver.kill()
    assert len(children) > 3
    _, left = psutil.wait_procs(children, timeout=30)
    assert [child for child in left if child.status() != psutil.STATUS_ZOMBIE] == []


def test_a_flow_the_engine_refuses_ends_as_compile(cluster: Cluster) -> None:
    report, _ = judge(cluster, Script((1.0,)), "misfit")
    assert (report.status, report.results[0].code) == (Status.COMPILE, "EngineError")
