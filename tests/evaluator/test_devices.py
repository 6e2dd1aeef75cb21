"""GPUs go by the driver's number, whichever of them are told of: an nvidia-smi of our own tells here of GPUs that are not."""
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ray import cloudpickle

from evaluator import processes
from evaluator.cluster import Cluster, ClusterSettings
from evaluator.cluster.devices import VISIBLE, devices, parse, taken_bytes, usable
from evaluator.cluster.warden import Warden
from evaluator.processes import Process
from evaluator.report import Row
from evaluator.stage import Answered, Context, Problem
from evaluator.stages import make_stage
from tests.evaluator import scripted
from tests.evaluator.scripted import POINT, Script, ScriptedEngine, make_scripted
from vortex.config import OperatingPoint
from vortex.ir import Graph
from vortex.serving.engine import StepTimes

SPLIT = "0, NVIDIA H100 80GB HBM3, [N/A], [N/A]"
TELL = """#!/bin/sh
cd {folder} && set -- *
cat "$1"
[ $# -eq 1 ] || rm "$1"
"""
Tell = Callable[..., None]


def whole(*used_mib: int, first: int = 0) -> str:
    return "\n".join(f"{index}, NVIDIA H200, 143771, {used}" for index, used in enumerate(used_mib, first))


@pytest.fixture
def tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tell:
    """Gives nvidia-smi its answers, of which the last one stays; no GPU is named by the environment."""
    tables, tool = tmp_path / "tables", tmp_path / "bin" / "nvidia-smi"
    tables.mkdir()
    tool.parent.mkdir()
    tool.write_text(TELL.format(folder=tables))
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    monkeypatch.setenv(VISIBLE, "")
    monkeypatch.delenv(VISIBLE)

    def answers(*texts: str) -> None:
        for number, text in enumerate(texts):
            (tables / str(number)).write_text(text)

    return answers


@pytest.fixture
def server() -> Iterator[None]:
    """A child that holds a quarter of a GiB."""
    code = "held = b'x' * (256 << 20); print(flush=True); import time; time.sleep(600)"
    with subprocess.Popen([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE) as root:
        assert root.stdout is not None and root.stdout.readline()
        yield
        root.kill()


@pytest.fixture
def worker() -> Iterator[Process]:
    with subprocess.Popen(["sleep", "600"]) as root:
        found = processes.find(root.pid)
        assert found is not None
        yield found
        root.kill()


def test_devices_are_told_by_number_and_memory() -> None:
    told = parse(f"{SPLIT}\n1, NVIDIA H200, 143771, 4\n2, NVIDIA A100, PG, 81920, 10\nNo devices were found\n\n")
    assert [(one.index, one.name, one.memory_bytes >> 20, one.used_bytes >> 20) for one in told] == [
        (1, "NVIDIA H200", 143771, 4), (2, "NVIDIA A100, PG", 81920, 10)]
    assert devices()[-1].kind == "cpu" and devices()[-1].count >= 1 and devices()[-1].memory_bytes > 1 << 28


@pytest.mark.parametrize(("table", "asked", "mib"), [
    (whole(10, 20, 30), (0, 2), {0: 10, 2: 30}),
    (f"{SPLIT}\n{whole(20, 30, first=1)}", (1,), {1: 20}),
    (f"{SPLIT}\n{whole(20, 30, first=1)}", (0, 2), {2: 30}),
    (whole(10), (5,), {}),
    (whole(10), (), {}),
])
def test_memory_in_use_is_that_of_the_gpus_asked_for(tell: Tell, table: str, asked: Sequence[int], mib: dict[int, int]) -> None:
    tell(table)
    assert taken_bytes(asked) == {index: used << 20 for index, used in mib.items()}


@pytest.mark.parametrize(("table", "named", "names"), [
    (whole(0, 0, 0), None, ["0", "1", "2"]),
    (f"{SPLIT}\n{whole(0, first=1)}", None, ["1"]),
    (whole(0, 0, 0), "2, 0", ["2", "0"]),
    (whole(0), "0,7", ["0"]),
    (whole(0), "-1", []),
    (whole(0), "", []),
    (SPLIT, "MIG-8f2c,GPU-11aa", ["MIG-8f2c", "GPU-11aa"]),
])
def test_only_gpus_that_are_there_and_ours_are_used(tell: Tell, monkeypatch: pytest.MonkeyPatch, table: str, named: str | None,
                                                    names: list[str]) -> None:
    tell(table)
    if named is not None:
        monkeypatch.setenv(VISIBLE, named)
    assert usable() == names


@pytest.mark.parametrize(("ids", "tables", "left"), [
    ((0,), [whole(100), whole(100)], ""),
    ((0,), [whole(100), whole(600)], ""),                                        # within what a driver keeps
    ((0,), [whole(100), whole(9000), whole(9000), whole(300)], ""),              # freed a moment later
    ((0,), [whole(100), whole(1124)], "1,073,741,824 bytes of GPU 0 stay taken"),
    ((1,), [f"{SPLIT}\n{whole(0, 0, first=1)}", f"{SPLIT}\n{whole(0, 9000, first=1)}"], ""),          # another's
    ((2,), [f"{SPLIT}\n{whole(0, 0, first=1)}", f"{SPLIT}\n{whole(0, 1024, first=1)}"],
     "1,073,741,824 bytes of GPU 2 stay taken"),
    ((0, 1), [whole(0, 0), whole(1024, 2048)],
     "1,073,741,824 bytes of GPU 0 stay taken and 2,147,483,648 bytes of GPU 1 stay taken"),
    ((0,), [SPLIT, whole(9000)], ""),                                            # nobody knows what was taken before
    ((), [whole(0), whole(9000)], ""),
])
def test_memory_of_its_gpus_is_free_again_after_a_worker(tell: Tell, worker: Process, ids: Sequence[int], tables: list[str],
                                                         left: str) -> None:
    tell(*tables)
    warden = Warden()
    warden.take(worker, ids)
    assert warden.end(worker) == left
    assert not worker.lives


@dataclass(frozen=True)
class Working(Script):
    """Says that its engine worked for a second and a half, and which GPUs it was given."""

    def run(self, engine: Any, graph: Graph | None, point: OperatingPoint, problems: Sequence[Problem],
            done: Collection[tuple[str, int]]) -> Generator[Answered, None, None]:
        for problem in problems:
            given = sorted(filter(None, os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")))
            told = {"device_s": 1.5, "gpus": given, "order": os.environ["CUDA_DEVICE_ORDER"]}
            yield Answered(problem=problem.id, data=told)


@pytest.mark.server
@pytest.mark.parametrize(("table", "group", "given", "device_s"), [
    (f"{SPLIT}\n{whole(0, 0, first=1)}", 2, ["1", "2"], 3.0),
    ("No devices were found", 2, [], 1.5),
])
def test_a_lease_takes_whole_gpus_and_counts_each(tell: Tell, table: str, group: int, given: list[str],
                                                  device_s: float) -> None:
    tell(table)
    modules = (scripted, sys.modules[__name__])
    for module in modules:
        cloudpickle.register_pickle_by_value(module)  # type: ignore[no-untyped-call]
    try:
        with Cluster(ClusterSettings(gpus_per_worker=group), make_scripted) as cluster:
            script = Working((1.0,))
            answered = list(cluster.stream(script, None, POINT, script.problems(POINT), (), 60.0))
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)  # type: ignore[no-untyped-call]
    assert [one.data for one in answered] == [{"device_s": device_s, "gpus": given, "order": "PCI_BUS_ID"}]


class TimedEngine(ScriptedEngine):
    def forced_decode(self, batch: int, context: int, steps: int, *, seed: int = 0) -> StepTimes:
        return StepTimes(batch=batch, context=context, seconds=(0.001,) * steps)


def memory(engine: str) -> dict[str, Any]:
    """What the speed stage tells of a shape."""
    stage, point = make_stage("speed", {"batch": 1, "context": 64, "repeats": 2}), OperatingPoint(engine=engine)  # type: ignore[arg-type]
    problems = {problem.id: problem for problem in stage.problems(point)}
    rows: list[Row] = [stage.grade(problems[one.problem], one, point)
                       for one in stage.run(TimedEngine(), None, point, list(problems.values()), ())]
    told = stage.result(rows, Context(point=point, graph=None)).facts["shapes"]["b1-c64"]
    return {key: told[key] for key in ("memory_of", "memory_bytes")}


@pytest.mark.usefixtures("server")
def test_speed_tells_what_an_engine_in_another_process_takes(tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(whole(100, 2000, 3000))
    this = processes.find(os.getpid())
    assert this is not None
    resident = memory("sglang")
    assert resident["memory_of"] == "resident"
    assert resident["memory_bytes"] > processes.resident_bytes({this}) + (200 << 20)
    monkeypatch.setenv(VISIBLE, "1,2")
    assert memory("sglang") == {"memory_of": "gpus", "memory_bytes": 5000 << 20}
