"""Kernels built ahead of time in children: facts of the machine code, failures as answers, one store for all processes."""
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.compiler.kernels import built_kernels as made
from vortex.compiler.kernels import build
from vortex.compiler.kernels.kernel import Kernel
from vortex.compiler.kernels.machine_code import Built, facts, global_loads
from vortex.compiler.kernels.store import Store, key_of
from vortex.errors import CompileError

TARGETS = ("sm_80", "sm_90", "sm_100")
ROOT = Path(__file__).parents[3]
BUILDER = """import json, dataclasses
from tests.compiler.kernels import built_kernels as made
from vortex.compiler.kernels.build import build_all
found = build_all([(getattr(made, name), target) for name in {names!r} for target in {targets!r}])
print(json.dumps([dataclasses.asdict(one) for one in found.values()]))
"""


@pytest.fixture(autouse=True)
def store(own_cache: Path) -> Store:
    return Store.usual()


def start(names: list[str], folder: Path, targets: tuple[str, ...] = TARGETS) -> "subprocess.Popen[str]":
    code = BUILDER.format(names=names, targets=targets)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT,
                            env={**os.environ, "VORTEX_CACHE": str(folder)})


@pytest.mark.parametrize("target", TARGETS)
def test_facts_of_a_good_kernel(target: str) -> None:
    found = build.built(made.score, target)
    assert (found.code, found.spills, found.stack, found.message) == ("", 0, 0, "")
    assert 16 <= found.registers <= 128 and found.instructions > 100
    assert found.shared <= found.shared_limit
    assert found.loads[16] >= 8 and found.vectorised > 0.9


def test_what_is_not_kept_aligned_is_read_word_by_word() -> None:
    found = build.built(made.unaligned, "sm_90")
    assert (found.code, found.vectorised, set(found.loads)) == ("", 0.0, {2})


@pytest.mark.parametrize(("kernel", "target", "code", "said"), [
    (made.wrong, "sm_90", "error", "`tl.store(out + tl.arange(0, N), tl.load(b + tl.arange(0, N)))`: "),
    (made.wrong, "sm_90", "error", "b is not defined"),
    (made.fp8, "sm_80", "error", "needs sm_89 or newer"),
    (made.fp8, "sm_90", "", ""),
    (made.large, "sm_90", "shared-memory", ""),
    (made.spilling, "sm_90", "spills", ""),
    (replace(made.score, entry="absent"), "sm_90", "error", "absent"),
    (replace(made.score, signature={"q": "*bf16"}), "sm_90", "error", "field"),
])
def test_a_fault_is_an_answer(kernel: Kernel, target: str, code: str, said: str) -> None:
    found = build.built(kernel, target)
    assert found.code == code
    assert said in found.message


def test_a_failure_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    first = build.built(made.wrong, "sm_100")
    monkeypatch.setattr(build.child, "run", lambda *_, **__: pytest.fail("built again"))
    assert build.built(made.wrong, "sm_100") == first


def test_a_kernel_past_its_time_is_stopped_and_the_next_one_is_built(store: Store) -> None:
    later = replace(made.score, warps=8)
    found = build.build_all([(made.endless, "sm_90"), (later, "sm_90")], limit_s=2.0)
    assert [one.code for one in found.values()] == ["timeout", ""]
    assert "2 s" in found[made.endless.digest, "sm_90"].message
    key = key_of(made.endless, "sm_90")
    assert store.answer(key, 2.0) is not None and store.answer(key, 3.0) is None


def test_a_damaged_entry_is_built_anew(store: Store) -> None:
    good, key = build.built(made.score, "sm_90"), key_of(made.score, "sm_90")
    path = next(store.folder.rglob(f"{key}.json"))
    text = path.read_text()
    changed = text.replace('"registers": ', '"registers": 9')
    assert changed != text and store.read(key) == good
    for damaged in ("", text[:10], text[:-1], changed, "{}", "\0" * len(text), text + text):
        path.write_text(damaged)
        assert store.read(key) is None, damaged
    assert replace(build.built(made.score, "sm_90"), seconds=0) == replace(good, seconds=0)
    assert path.read_text() != text + text


def test_an_entry_comes_back_as_it_was_written(store: Store) -> None:
    built = Built(target="sm_80", registers=7, loads={4: 2, 16: 1}, vectorised=2 / 3, seconds=0.1, message='"\n')
    store.write("00-entry", built, "ptx")
    assert (store.read("00-entry"), store.ptx("00-entry"), store.ptx("00-none")) == (built, "ptx", "")


def test_two_processes_share_the_work(tmp_path: Path) -> None:
    both = [start(["score", "unaligned", "wrong"], tmp_path) for _ in range(2)]
    answers = [json.loads(one.communicate(timeout=60)[0]) for one in both]
    assert answers[0] == answers[1]                      # to the millisecond of building: one of them read the other's
    assert len(answers[0]) == 9


def test_a_killed_command_leaves_no_lock_behind(tmp_path: Path) -> None:
    first = start(["endless"], tmp_path, ("sm_90",))
    locks = tmp_path / "built" / "locks"
    while not (locks.exists() and list(locks.iterdir())):
        assert first.poll() is None
        time.sleep(0.02)
    time.sleep(0.3)                                      # into the compiler's passes
    first.send_signal(signal.SIGKILL)
    first.communicate()
    began = time.monotonic()
    with Store(tmp_path / "built").locked(next(locks.iterdir()).name):
        assert time.monotonic() - began < 10


def test_children_share_a_long_list() -> None:
    kernels = [replace(made.score, constants={"SIZE": size, "COLS": 64}) for size in (16, 32, 128)]
    jobs = [(kernel, target) for kernel in kernels for target in ("sm_90", "sm_100")]
    found = build.build_all(jobs, processes=2)
    assert list(found) == [(kernel.digest, target) for kernel, target in jobs]
    assert not any(one.code for one in found.values())


INTERRUPTED = """
from tests.compiler.kernels import built_kernels as made
from vortex.compiler.kernels.build import build_all

print("begun", flush=True)
try:
    build_all([(made.endless, "sm_90"), (made.endless, "sm_100")], processes=2, limit_s=600.0)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_an_interruption_does_not_wait_for_compilers() -> None:
    process = subprocess.Popen([sys.executable, "-c", INTERRUPTED], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "interrupted\n")


def test_an_unknown_chip_is_refused() -> None:
    with pytest.raises(CompileError, match="not built for sm_70") as refusal:
        build.built(made.score, "sm_70")
    assert "sm_80, sm_90, sm_100" in refusal.value.hint


def test_a_cache_that_cannot_be_written_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VORTEX_CACHE", "/proc/nowhere")
    with pytest.raises(CompileError, match="no folder for built kernels") as refusal:
        build.built(made.score, "sm_90")
    assert "VORTEX_CACHE" in refusal.value.hint


@pytest.mark.parametrize(("ptx", "loads", "share"), [
    ("ld.global.v4.b32 { %r1, %r2, %r3, %r4 }, [ %rd1 + 0 ];", {16: 1}, 1.0),
    ("ld.global.b16 { %rs1 }, [ %rd1 ];\n@%p1 ld.global.L1::evict_last.v2.b32 { %r1, %r2 }, [ %rd2 ];", {2: 1, 8: 1}, 0.8),
    ("@%p4 cp.async.cg.shared.global [ %r20 + 0 ], [ %rd4 + 0 ], 0x10, %r21;", {16: 1}, 1.0),
    ("cp.async.ca.shared.global [ %r20 + 0 ], [ %rd4 + 0 ], 0x4;\nst.global.v4.b32 [ %rd1 ], { %r1 };", {4: 1}, 0.0),
    ("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [ %r1 ], [ %rd1 ];", {16: 1}, 1.0),
    ("ld.shared.b32 %r1, [ %r2 ];", {}, 1.0)])
def test_loads_are_read_from_ptx(ptx: str, loads: dict[int, int], share: float) -> None:
    assert global_loads(ptx) == (loads, pytest.approx(share))


def test_a_silent_ptxas_is_not_taken_for_a_good_one() -> None:
    with pytest.raises(ValueError, match="ptxas said nothing"):
        facts("", "", b"")
