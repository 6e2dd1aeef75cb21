"""Whatever a process started is found and ended, orphans that are known included."""
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest

from evaluator import processes
from evaluator.cluster.settings import ClusterSettings
from evaluator.cluster.warden import Warden
from evaluator.processes import Process
from evaluator.reaper import Reaper
from vortex.errors import EngineError
from vortex.serving import make_engine

FAMILY = """
import os, sys, time
for _ in range(2):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0: time.sleep(600)
        time.sleep(600)
print(flush=True)
time.sleep(600)
"""


@pytest.fixture
def family() -> Iterator[Process]:
    """A process with children and grandchildren in sessions of their own: five in all."""
    with subprocess.Popen([sys.executable, "-S", "-c", FAMILY], stdout=subprocess.PIPE) as root:
        assert root.stdout is not None and root.stdout.readline()
        found = processes.find(root.pid)
        assert found is not None
        until(lambda: len(processes.tree([found])) == 5)
        yield found
        processes.end({found}, 5)


def until(true: Callable[[], bool]) -> None:
    wait = Event()
    for _ in range(500):
        if true():
            return
        wait.wait(0.01)
    raise AssertionError("it never came true")


def test_the_whole_tree_is_ended(family: Process) -> None:
    members = processes.tree([family])
    assert processes.resident_bytes(members) > processes.resident_bytes({family}) > 1 << 20
    assert processes.end({family}, 5) == set()
    assert not any(one.lives for one in members) and processes.tree([family]) == set()


def test_another_process_of_the_same_number_is_left_alone(family: Process) -> None:
    assert processes.end({Process(family.pid, family.started - 1)}, 0) == set()
    assert family.lives


def test_a_warden_ends_what_its_worker_left_as_orphans(family: Process) -> None:
    warden, members = Warden(), processes.tree([family])
    warden.take(family)
    assert warden.read(family).resident_bytes > 5 << 20
    os.kill(family.pid, 9)
    until(lambda: not family.lives)
    assert sum(one.lives for one in members) == 4
    assert warden.end(family) == ""
    assert not any(one.lives for one in members)


def test_orphans_that_nobody_saw_are_known_by_their_environment(tmp_path: Path) -> None:
    lead = processes.find(os.getpid())
    assert lead is not None
    lead = Process(1 << 23, lead.started)                    # a worker that is long gone
    command = "sleep 600 & echo $!"
    told = subprocess.run(["setsid", "sh", "-c", command], env={"PATH": os.environ["PATH"], processes.LEASE: lead.lease},
                          stdout=(tmp_path / "out").open("w"))
    assert told.returncode == 0
    orphan = processes.find(int((tmp_path / "out").read_text()))
    assert orphan is not None and processes.strays({lead}) == {orphan}
    assert processes.end({lead}, 5) == set()
    assert not orphan.lives


def test_a_reaper_ends_what_it_was_told_of_when_its_maker_is_gone(family: Process) -> None:
    reaper, members = Reaper(), processes.tree([family])
    reaper.tell(family)
    assert reaper._process.stdin is not None
    reaper._process.stdin.close()
    until(lambda: not any(one.lives for one in members))
    reaper.stop()


@pytest.mark.parametrize(("cpus", "gpus", "settings", "room"), [
    (8, 0, {}, 1), (8, 0, {"workers": 4}, 8), (8, 0, {"workers": 4, "threads": 3}, 2), (0, 0, {}, 0), (1, 0, {"threads": 2}, 0),
    (16, 8, {}, 8), (16, 8, {"gpus_per_worker": 4}, 2), (16, 8, {"gpus_per_worker": 3, "workers": 1}, 2),
])
def test_the_room_of_a_node(cpus: int, gpus: int, settings: dict[str, int], room: int) -> None:
    assert ClusterSettings(**settings).slots_of(cpus, gpus) == room  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["workers", "threads", "load_s", "lives"])
def test_settings_that_cannot_be_are_refused(name: str) -> None:
    with pytest.raises(EngineError, match=f"{name} of the workers is 0"):
        ClusterSettings(**{name: 0})  # type: ignore[arg-type]


def test_several_gpus_are_for_an_engine_that_divides_its_model() -> None:
    assert vars(make_engine("sglang", gpus=4))["options"].tp_size == 4
    with pytest.raises(EngineError, match="runs on one GPU, not on 2 together"):
        make_engine("embedded", gpus=2)
