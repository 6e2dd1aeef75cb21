"""The sandbox: each attempt fails within, and outside succeeds where that does no harm; what must work does."""
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil
import pytest

from evaluator.sandbox import Sandbox, choice, crossing
from evaluator.sandbox.entries import holes, load_flow, plain
from evaluator.sandbox.means import Means
from vortex import child, flows
from vortex.compiler.front import load
from vortex.errors import ChildCrash, ChildFailure, ChildMemory, ChildTimeout, SandboxUnavailable, ShapeMismatch, VortexError
from vortex.ir import Geometry

HERE = Path(__file__).parent / "jailed"
sys.path.append(str(HERE))
import attacks  # noqa: E402  (as children name it: they see this folder and no other of the tests)

MEMORY = 1 << 28
NAMES = ("bubblewrap", "bubblewrap alone", "Landlock")
SECRET = "VORTEX_TEST_KEY"
os.environ[SECRET] = "hunter2"                      # before any warm parent is started


@lru_cache(maxsize=1)
def working() -> dict[str, Means]:
    found = {means.name: means for means in choice.working()}
    if "bubblewrap" in found:
        found["bubblewrap alone"] = replace(found["bubblewrap"], landlock=False)     # as on a kernel without it
    return found


@pytest.fixture(scope="module", params=NAMES)
def jail(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    if request.param not in working():
        pytest.skip(f"{request.param} does not hold on this machine: {choice.standing().tried}")
    sandbox = Sandbox(working()[request.param], more=[str(HERE)], modules=["attacks"])
    sandbox.start()
    yield sandbox
    sandbox.close()


def ask(jail: Sandbox, function: Callable[..., Any], *args: Any, wall_s: float = 20.0, memory_bytes: int = MEMORY) -> Any:
    return jail.run(function, *args, wall_s=wall_s, memory_bytes=memory_bytes)


class World:
    """What there is to be attacked outside."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secret = folder / "secret"
        self.secret.write_text("hunter2")
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.abstract = socket.socket(socket.AF_UNIX)
        self.abstract.bind(f"\0vortex-{os.getpid()}")
        self.abstract.listen()
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(str(folder / "unix"))
        self.unix.listen()
        self.other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE,
                                      env={**os.environ, SECRET: "hunter2"})

    def close(self) -> None:
        for one in (self.tcp, self.abstract, self.unix):
            one.close()
        self.other.kill()
        self.other.wait()
        assert self.other.stdin is not None
        self.other.stdin.close()

    def fresh(self, name: str) -> str:
        """A path of the folder that is not there."""
        path = self.folder / name
        path.unlink(missing_ok=True)
        return str(path)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """In a home of the user's, not in a folder that is hidden for other reasons."""
    with tempfile.TemporaryDirectory(prefix=".vortex-test-", dir=Path.home()) as folder:
        found = World(Path(folder))
        yield found
        found.close()


ATTEMPTS: dict[str, tuple[Callable[..., Any], Callable[[World], list[Any]]]] = {
    "a secret in the home": (attacks.read_file, lambda w: [str(w.secret)]),
    "/etc/passwd": (attacks.read_file, lambda w: ["/etc/passwd"]),
    "the archive beside the packages": (attacks.read_file, lambda w: [str(Path(__file__).parents[2] / "pyproject.toml")]),
    "names in the home": (attacks.list_home, lambda w: [str(w.folder)]),
    "the caller's environment": (attacks.read_environ, lambda w: [os.getpid()]),
    "another's environment": (attacks.read_environ, lambda w: [w.other.pid]),
    "the own first environment": (attacks.own_environ_holds, lambda w: ["HOME"]),
    "a key in the environment": (attacks.environment_holds, lambda w: [SECRET]),
    "TCP on loopback": (attacks.connect_tcp, lambda w: [w.tcp.getsockname()[1]]),
    "UDP": (attacks.send_udp, lambda w: [w.tcp.getsockname()[1]]),
    "an abstract socket": (attacks.connect_abstract, lambda w: [f"vortex-{os.getpid()}"]),
    "a socket in the file system": (attacks.connect_unix, lambda w: [str(w.folder / "unix")]),
    "a new file": (attacks.write_file, lambda w: [w.fresh("new")]),
    "a new file of /tmp": (attacks.write_file, lambda w: [f"/tmp/vortex-test-{os.getpid()}"]),
    "a longer file": (attacks.append_to, lambda w: [str(w.secret)]),
    "our own code": (attacks.append_to, lambda w: [_copy(w, child.__file__)]),
    "a folder": (attacks.make_folder, lambda w: [str(w.folder / f"folder-{time.monotonic_ns()}")]),
    "through a link": (attacks.follow_link, lambda w: [str(w.secret)]),
    "up and down again": (attacks.climb, lambda w: [str(w.secret)]),
    "a hard link": (attacks.hard_link, lambda w: [str(w.secret)]),
    "rights": (attacks.change_rights, lambda w: [str(w.secret)]),
    "removal": (attacks.remove, lambda w: [_copy(w, str(w.secret))]),
    "truncation": (attacks.truncate, lambda w: [_copy(w, str(w.secret))]),
    "a fork": (attacks.fork, lambda w: []),
    "a program": (attacks.start_program, lambda w: []),
    "a thread": (attacks.start_thread, lambda w: []),
    "a signal to the caller": (attacks.signal_process, lambda w: [os.getpid()]),
    "a signal to another": (attacks.signal_process, lambda w: [w.other.pid]),
    "a signal to a group": (attacks.signal_group, lambda w: [w.other.pid]),
    "a signal through a file": (attacks.signal_by_file, lambda w: [w.other.pid]),
    "memory of another": (attacks.read_memory, lambda w: [w.other.pid]),
    "limits of another": (attacks.limit_process, lambda w: [w.other.pid]),
    "a device": (attacks.open_device, lambda w: [_device()]),
    "shared memory": (attacks.share_memory, lambda w: []),
    "files left open": (attacks.inherited_handles, lambda w: [])}
# Outside these would harm the tests, or this machine may not allow them to anybody.
ONLY_WITHIN: dict[str, tuple[Callable[..., Any], Callable[[World], list[Any]]]] = {
    "tracing the parent": (attacks.trace_process, lambda w: [os.getpid()]),
    "the environment of process 1": (attacks.read_environ, lambda w: [1]),
    "another program": (attacks.become_program, lambda w: []),
    "higher limits": (attacks.lift_own_limit, lambda w: []),
    "a mount": (attacks.mount, lambda w: ["/mnt"]),
    "a namespace": (attacks.unshare, lambda w: []),
    "a ring": (attacks.io_ring, lambda w: []),
    "the memory of the machine": (attacks.read_file, lambda w: ["/dev/mem"]),
    "settings of the kernel": (attacks.open_for_writing, lambda w: ["/proc/sys/kernel/core_pattern"]),
    "a key of the machine": (attacks.open_for_writing, lambda w: ["/proc/sysrq-trigger"])}


def _copy(world: World, path: str) -> str:
    found = world.folder / "copy"
    found.write_bytes(Path(path).read_bytes())
    return str(found)


def _device() -> str:
    """One that this user may open, and that is more than a source of bytes."""
    for path in ("/dev/kvm", "/dev/fuse", "/dev/net/tun", "/dev/loop-control", "/dev/nvidiactl"):
        if os.access(path, os.R_OK | os.W_OK):
            return path
    pytest.skip("this user may open no device")


@pytest.mark.parametrize("name", ATTEMPTS)
def test_an_attempt_fails_within(jail: Sandbox, world: World, name: str) -> None:
    function, args = ATTEMPTS[name]
    with pytest.raises(ChildCrash, match=r"raised \w*Error|raised TimeoutError"):
        print(ask(jail, function, *args(world)))


@pytest.mark.parametrize("name", ATTEMPTS)
def test_the_same_attempt_succeeds_outside(world: World, name: str) -> None:
    function, args = ATTEMPTS[name]
    assert function(*args(world))


@pytest.mark.parametrize("name", ONLY_WITHIN)
def test_a_harmful_attempt_fails_within(jail: Sandbox, world: World, name: str) -> None:
    function, args = ONLY_WITHIN[name]
    with pytest.raises(ChildCrash, match=r"raised \w*Error"):
        print(ask(jail, function, *args(world)))


ENDS: dict[str, tuple[Callable[..., Any], list[Any], float, type[ChildFailure], str]] = {
    "spinning": (attacks.spin, [], 0.3, ChildTimeout, r"spin did not end within 0\.3 s"),
    "sleeping": (attacks.sleep, [60], 0.3, ChildTimeout, r"sleep did not end within 0\.3 s"),
    "deaf to signals": (attacks.ignore_signals_and_sleep, [60], 0.3, ChildTimeout, "did not end"),
    "a memory bomb": (attacks.eat_memory, [10**10], 20, ChildMemory, "268,435,456 bytes"),
    "a mapping": (attacks.map_memory, [10**10], 20, ChildMemory, "268,435,456 bytes"),
    "leaving": (attacks.leave, [], 20, ChildCrash, r"without an answer \(exit 3\)"),
    "a fault": (attacks.crash, [], 20, ChildCrash, r"without an answer \(exit -11\)"),
    "recursion": (attacks.recurse, [], 20, ChildCrash, "raised RecursionError"),
    "a huge answer": (attacks.answer_much, [9 << 20], 20, ChildCrash, "answered more than 8,388,608 bytes"),
    "a pickle": (attacks.answer_junk, [], 20, ChildCrash, "answered what is no answer"),
    "a forged kind": (attacks.answer_forged, ["VortexErrorX"], 20, ChildCrash, "answered what is no answer"),
    "a refusal to run at all": (attacks.answer_forged, ["SandboxUnavailable"], 20, ChildCrash, "answered what is no answer"),
    "a kind that is no refusal": (attacks.answer_forged, ["dataclass"], 20, ChildCrash, "answered what is no answer"),
    "a deep answer": (attacks.answer_deep, [], 20, ChildCrash, "answered what is no answer"),
    "no JSON": (attacks.not_json, [], 20, ChildCrash, "raised TypeError: Object of type set"),
    "an error": (int, ["x"], 20, ChildCrash, "int raised ValueError")}


@pytest.mark.parametrize("name", ENDS)
def test_a_bad_end_is_named(jail: Sandbox, name: str) -> None:
    function, args, wall_s, kind, said = ENDS[name]
    with pytest.raises(kind, match=said):
        ask(jail, function, *args, wall_s=wall_s)
    assert ask(jail, attacks.echo, 1) == 1
    assert _children(jail) == []


def test_processor_time_is_limited_too(jail: Sandbox) -> None:
    """That of a child whose wall clock was not watched."""
    with pytest.raises(ChildTimeout, match="signal"):
        _asked_for(jail, attacks.spin, wall_s=-4)


def _asked_for(jail: Sandbox, function: Callable[..., Any], wall_s: float) -> None:
    """The child is told `wall_s`, and its caller waits for longer."""
    jail._asked(crossing.request(function, [], wall_s, MEMORY), function.__name__, 20)


def test_the_scratch_folder_is_written_and_gone_afterwards(jail: Sandbox) -> None:
    """Where none can be mounted, none is."""
    if not jail.told["scratch"]:
        with pytest.raises(ChildCrash, match="PermissionError"):
            ask(jail, attacks.scratch)
        return
    ask(jail, attacks.hide_in_scratch)
    first, second = ask(jail, attacks.scratch), ask(jail, attacks.scratch)
    assert first != second
    assert ask(jail, attacks.files_in_scratch) == []
    assert not Path(first).parent.exists()


def test_the_scratch_folder_is_bounded(jail: Sandbox) -> None:
    """All of it together; and it is empty again for the next."""
    most, part = (64 << 20, 16 << 20) if jail.told["scratch"] else (0, 0)
    assert ask(jail, attacks.fill_scratch, 16 << 20, 8) <= most
    assert ask(jail, attacks.fill_scratch, 16 << 20, 2) == 2 * part


def test_what_the_language_needs_works(jail: Sandbox) -> None:
    assert ask(jail, attacks.echo, {"a": [1, 2.5, None, "ä\x00\n"]}) == {"a": [1, 2.5, None, "ä\x00\n"]}
    assert ask(jail, attacks.computing, memory_bytes=2 << 30) == 499500.0
    assert len(ask(jail, attacks.answer_much, 8_000_000)) == 8_000_000


def test_arguments_are_json(jail: Sandbox) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        ask(jail, attacks.echo, object())


@pytest.mark.parametrize("name", sorted(flows.names()))
def test_every_flow_of_ours_is_read_within_as_outside(jail: Sandbox, name: str) -> None:
    _, text, path = flows.read(name)
    geometry = Geometry.of_latent() if "vFlowMLA" in text else Geometry()
    asked = (text, path, *plain(geometry, ()))
    assert _outcome(ask, jail, load_flow, *asked) == _outcome(load_flow, *asked)


def _outcome(function: Callable[..., Any], *args: Any) -> Any:
    """The Graph's JSON, or everything that its refusal says."""
    try:
        return function(*args)
    except VortexError as refusal:
        return refusal.to_json()


def test_a_refusal_comes_back_whole(jail: Sandbox) -> None:
    text = flows.read("centroid")[1].replace(".T", "")
    with pytest.raises(ShapeMismatch) as inside:
        ask(jail, load_flow, text, "my.py", *plain(Geometry(), ()))
    with pytest.raises(ShapeMismatch) as outside:
        load(text, "my.py", Geometry())
    assert inside.value.to_json() == outside.value.to_json()
    assert inside.value.report() == outside.value.report()


def test_many_threads_ask_at_once(jail: Sandbox) -> None:
    """And a child that is ended takes none of the others with it."""
    def one(number: int) -> object:
        if number % 4:
            return ask(jail, attacks.echo, number)
        with pytest.raises(ChildTimeout):
            ask(jail, attacks.sleep, 60, wall_s=0.2)
        return number

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(one, range(24))) == list(range(24))
    assert _children(jail) == []


def test_a_dead_parent_is_started_again(jail: Sandbox) -> None:
    before = _parent(jail)
    before.kill()
    assert ask(jail, attacks.echo, 1) == 1
    assert _parent(jail) != before


def test_a_question_whose_parent_dies_is_asked_again(jail: Sandbox) -> None:
    ask(jail, attacks.echo, 0)
    before = _parent(jail)
    killer = threading.Timer(0.3, before.kill)
    killer.start()
    assert ask(jail, attacks.slow_echo, 1, 1) == 1
    assert _parent(jail) != before


CALLER = """
import sys, threading, time
sys.path.append({folder!r})
import attacks
from evaluator.sandbox import Sandbox, standing
jail = Sandbox(standing().sandbox.means, more=[{folder!r}], modules=["attacks"])
jail.start()
asking = threading.Thread(target=lambda: jail.run(attacks.sleep, 60, wall_s=60, memory_bytes=1 << 28), daemon=True)
asking.start()
time.sleep(0.5)
print(jail._parent.pid, flush=True)
time.sleep(60)
"""


def test_nothing_outlives_a_caller_that_was_killed(tmp_path: Path) -> None:
    """The caller, its warm parent and a child that sleeps."""
    if choice.standing().sandbox is None:
        pytest.skip(choice.standing().text)
    caller = subprocess.Popen([sys.executable, "-c", CALLER.format(folder=str(HERE))], stdout=subprocess.PIPE, text=True,
                              cwd=Path(__file__).parents[2])
    assert caller.stdout is not None
    parent = psutil.Process(int(caller.stdout.readline()))
    family = [parent, *parent.children(recursive=True)]
    assert len(family) > 1
    caller.kill()
    caller.wait()
    caller.stdout.close()
    assert psutil.wait_procs(family, timeout=10)[1] == []


def _parent(jail: Sandbox) -> psutil.Process:
    """The warm one; bubblewrap is two processes above it."""
    assert jail._parent is not None
    found = psutil.Process(jail._parent.pid)
    return found.children()[0].children()[0] if jail.means.name == "bubblewrap" else found


def _children(jail: Sandbox) -> list[psutil.Process]:
    return _parent(jail).children(recursive=True)


# Without a sandbox.

@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nothing holds."""
    monkeypatch.setattr(choice, "standing", lambda: choice.Standing(None, ("bubblewrap: bwrap is not installed", "Landlock: no")))
    monkeypatch.setattr(choice, "_unsafe", threading.Event())
    choice._warn.cache_clear()


def test_without_a_sandbox_a_text_of_others_is_refused(bare: None) -> None:
    with pytest.raises(SandboxUnavailable, match="bwrap is not installed; Landlock: no") as refused:
        choice.run(attacks.echo, 1, wall_s=9, memory_bytes=MEMORY)
    assert "--unsafe" in refused.value.hint and "apt install bubblewrap" in refused.value.hint


def test_without_a_sandbox_our_own_text_runs_with_one_warning(bare: None) -> None:
    with pytest.warns(UserWarning, match="no sandbox here") as told:
        assert choice.run(int, "1", wall_s=30, memory_bytes=MEMORY, trusted=True) == 1
        assert choice.run(int, "2", wall_s=30, memory_bytes=MEMORY, trusted=True) == 2
    assert len(told) == 1


def test_unsafe_is_asked_for(bare: None) -> None:
    choice.allow_unsafe()
    with pytest.warns(UserWarning, match="no sandbox here"):
        assert choice.run(int, "1", wall_s=30, memory_bytes=MEMORY) == 1


def test_means_that_do_not_hold_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wall with a hole is found by its own children, and told of by what it lets through."""
    open_wall = Means("bubblewrap", "0", lambda paths: ["false"], "", True)
    monkeypatch.setattr(choice, "candidates", lambda: iter(["bubblewrap: bwrap is not installed", open_wall]))
    found = choice._found.__wrapped__()
    assert found.sandbox is None
    assert "texts of others are refused" in found.text


def test_holes_are_found_where_there_is_no_wall(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.touch()
    told = child.run(holes, str(secret), str(tmp_path), wall_s=30, memory_bytes=MEMORY)
    assert set(told) >= {"files of the user can be read", "files can be written", "sockets can be made",
                         "processes can be started", "signals can be sent"}


def test_python_called_by_a_roundabout_path_finds_the_same_means(tmp_path: Path) -> None:
    roundabout = os.path.relpath(sys.executable, tmp_path.resolve())
    asked = "from evaluator.sandbox import choice; print([one.name for one in choice.working()])"
    told = subprocess.run([roundabout, "-c", asked], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60).stdout
    assert told.strip() == str([name for name in working() if name != "bubblewrap alone"])
