"""Functions in limited children: values and refusals come back, anything else is a named failure, nothing is left over."""
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vortex import child, flows
from vortex.compiler.front import load
from vortex.errors import ChildCrash, ChildMemory, ChildTimeout, ShapeMismatch
from vortex.ir import Geometry

MEMORY = 1 << 28


def test_a_value_comes_back() -> None:
    name, text, path = flows.read("quest")
    graph = child.run(load, text, path, Geometry(), wall_s=30, memory_bytes=MEMORY)
    assert graph == load(text, path, Geometry())
    assert graph.name == name


def test_a_refusal_is_raised_again_with_its_place_and_hint() -> None:
    text = flows.read("centroid")[1].replace(".T", "")
    with pytest.raises(ShapeMismatch) as refusal:
        child.run(load, text, "my.py", Geometry(), wall_s=30, memory_bytes=MEMORY)
    assert (refusal.value.where.path, refusal.value.where.line) == ("my.py", 11)
    assert "Transpose" in refusal.value.hint


def test_a_child_past_its_wall_clock_is_killed() -> None:
    with pytest.raises(ChildTimeout, match=r"sleep did not end within 0\.2 s"):
        child.run(time.sleep, 60, wall_s=0.2, memory_bytes=MEMORY)


def test_a_child_that_wants_too_much_memory_is_told_so() -> None:
    with pytest.raises(ChildMemory, match="268,435,456 bytes"):
        child.run(bytearray, 10**10, wall_s=30, memory_bytes=MEMORY)


def test_a_child_that_leaves_without_a_word_crashed() -> None:
    with pytest.raises(ChildCrash, match=r"ended without an answer \(exit 3\)"):
        child.run(os._exit, 3, wall_s=30, memory_bytes=MEMORY)


def test_a_child_that_raises_crashed() -> None:
    with pytest.raises(ChildCrash, match="int raised ValueError"):
        child.run(int, "x", wall_s=30, memory_bytes=MEMORY)


def test_what_a_child_started_dies_with_it(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    command = f"echo $$ > {mark}; exec sleep 60"
    with pytest.raises(ChildTimeout):
        child.run(subprocess.call, command, -1, None, None, None, None, None, True, True, wall_s=1, memory_bytes=MEMORY)
    assert _ends(mark)


def test_a_child_dies_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    code = ("import subprocess; from vortex import child\n"
            f"child.run(subprocess.call, 'echo $PPID > {mark}; exec sleep 15', -1, None, None, None, None, None, True, True,"
            f" wall_s=60, memory_bytes={MEMORY})")
    parent = subprocess.Popen([sys.executable, "-c", code])
    while not (mark.exists() and mark.read_text().strip()):
        assert parent.poll() is None
        time.sleep(0.02)
    assert _runs(int(mark.read_text()))
    parent.kill()
    parent.wait()
    assert _ends(mark)


def test_a_long_answer_comes_back_whole() -> None:
    assert child.run(bytes, 10_000_000, wall_s=30, memory_bytes=MEMORY) == bytes(10_000_000)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):           # it may go between the two words of a question
        return False


def _ends(mark: Path) -> bool:
    """A process that was killed takes a moment to be gone, on a busy machine."""
    until = time.monotonic() + 10
    while _runs(int(mark.read_text())) and time.monotonic() < until:
        time.sleep(0.02)
    return not _runs(int(mark.read_text()))
