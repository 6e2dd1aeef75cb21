"""The host of SGLang, with an engine of a few lines in its place: answers, refusals, and that nothing outlives anybody."""
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.serving.sglang.stand_in import make_python
from vortex.errors import BudgetError, EngineError, MissingExtra, VortexError
from vortex.serving.sglang.process import HostProcess, error_of, lives, new_folder
from vortex.serving.sglang.python import VARIABLE, find_python

ARGUMENTS = {"everywhere": {"enable_deterministic_inference": None}, "on_cpu": {"enable_deterministic_inference": True}}
GONE_S = 20.0
PARENT = """
import sys
from pathlib import Path
from vortex.serving.sglang.process import HostProcess, new_folder
folder = new_folder()
arguments = {"everywhere": {"enable_deterministic_inference": False}, "on_cpu": {}}
host = HostProcess(sys.argv[1], folder, arguments, {"STAND_IN": sys.argv[2]})
if not sys.argv[2]:
    host.ready()
    host.send("generate", requests=[dict(id="0", tokens=[1], max_new_tokens=10**6, seed=0, temperature=0, top_p=1, top_k=0,
                                         stop=None, ignore_eos=True)])
print(host.pid, folder, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_python(tmp_path_factory.mktemp("stand-in")))


@pytest.fixture
def host(python: str) -> Iterator[HostProcess]:
    host = HostProcess(python, new_folder(), ARGUMENTS, {})
    host.ready()
    yield host
    host.stop()


def request(name: str = "a", last: int = 10, tokens: int = 3, **settings: Any) -> dict[str, Any]:
    return {"id": name, "tokens": [5, last], "max_new_tokens": tokens, "seed": 0, "temperature": 0.0, "top_p": 1.0, "top_k": 0,
            "stop": None, "ignore_eos": False, **settings}


def within(seconds: float, true: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while not true() and time.monotonic() < until:
        time.sleep(0.02)
    return true()


def tree(pid: int) -> list[int]:
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def test_says_what_was_started_and_takes_what_a_cpu_wants(python: str) -> None:
    host = HostProcess(python, new_folder(), {**ARGUMENTS, "everywhere": {"tp_size": 2, "dtype": None}}, {})
    try:
        assert host.ready() == {"version": "0.5.23", "tokens": 512, "context": 64, "deterministic": True}
        log = (host.folder / "log").read_text()
        assert "'tp_size': 2" in log and "'attention_backend': 'vortex'" in log and "dtype" not in log
    finally:
        host.stop()


def test_completions_come_as_they_end_with_their_times(host: HostProcess) -> None:
    answers = list(host.answers(host.send("generate", requests=[request("long", tokens=30), request("short", last=20)])))
    assert answers == [
        {"id": "short", "tokens": [21, 22, 23], "finish": "length", "prefill_s": 2.0, "decode_s": 4.0, "cached_tokens": 3},
        {"id": "long", "tokens": list(range(11, 41)), "finish": "length", "prefill_s": 2.0, "decode_s": 4.0, "cached_tokens": 3}]


@pytest.mark.parametrize(("settings", "wanted", "finish"), [
    ({}, [0, 1, 2], "stop"),                                               # the model's own
    ({"ignore_eos": True}, [0, 1, 2, 3, 4, 5], "length"),
    ({"stop": [2, 4]}, [0, 1, 2], "stop"),
    ({"stop": [4]}, [0, 1, 2, 3, 4], "stop"),                              # the model's own is not among them
    ({"stop": []}, [0, 1, 2, 3, 4, 5], "length"),
    ({"stop": [4], "ignore_eos": True}, [0, 1, 2, 3, 4, 5], "length"),
])
def test_ends_at_the_tokens_that_were_asked_for(host: HostProcess, settings: dict[str, Any], wanted: list[int],
                                                finish: str) -> None:
    answer = host.ask("generate", requests=[request(last=-1, tokens=6, **settings)])
    assert (answer["tokens"], answer["finish"]) == (wanted, finish)


def test_what_is_dropped_ends_and_its_name_is_free_again(host: HostProcess) -> None:
    endless = [request(str(i), last=10 + i, tokens=10**6) for i in range(3)] + [request("first")]
    number = host.send("generate", requests=endless)
    assert next(host.answers(number))["id"] == "first"
    host.ask("drop", number=number)
    assert host.ask("generate", requests=[request("0")])["tokens"] == [11, 12, 13]


def test_a_refused_request_ends_the_others_of_its_call_alone(host: HostProcess) -> None:
    with pytest.raises(EngineError, match="60 is too much"):
        host.ask("generate", requests=[request("a", tokens=10**6), request("b", last=60)])
    assert host.ask("generate", requests=[request("a")])["tokens"] == [11, 12, 13]


def test_asking_for_what_it_does_not_know_is_refused(host: HostProcess) -> None:
    with pytest.raises(EngineError, match="'dance'"):
        host.ask("dance")


def test_stopping_leaves_no_process_and_no_folder(python: str) -> None:
    host = HostProcess(python, new_folder(), ARGUMENTS, {})
    host.ready()
    pids = tree(host.pid)
    assert len(pids) > 1
    host.stop()
    assert not any(map(lives, pids)) and not host.folder.exists()
    host.stop()                           # once more changes nothing


def test_stopping_does_not_wait_for_a_start(python: str) -> None:
    host = HostProcess(python, new_folder(), ARGUMENTS, {"STAND_IN": "slow"})
    assert within(GONE_S, lambda: len(tree(host.pid)) > 1)
    pids, began = tree(host.pid), time.monotonic()
    host.stop()
    assert time.monotonic() - began < GONE_S / 2
    assert within(GONE_S, lambda: not any(map(lives, pids)))


def test_a_failed_start_is_told_by_its_log(python: str) -> None:
    host = HostProcess(python, new_folder(), ARGUMENTS, {"STAND_IN": "boot"})
    try:
        with pytest.raises(VortexError) as refused:
            host.ready()
        assert "emory" in refused.value.report() and not host.alive
    finally:
        host.stop()


def test_an_end_in_the_middle_is_an_error(python: str) -> None:
    host = HostProcess(python, new_folder(), ARGUMENTS, {})
    try:
        host.ready()
        pids = tree(host.pid)
        with pytest.raises(EngineError):
            host.ask("generate", requests=[request("a", tokens=10**6), request("b", last=61)])
        assert within(GONE_S, lambda: not any(map(lives, pids)))
        with pytest.raises(EngineError):
            host.ask("generate", requests=[request()])
    finally:
        host.stop()


@pytest.mark.parametrize("wrong", ["", "slow"])
def test_nothing_outlives_a_killed_parent(python: str, wrong: str) -> None:
    """In the middle of generating, and of starting."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT, python, wrong], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True)
    assert parent.stdout is not None and parent.stdin is not None
    pid, folder = parent.stdout.readline().split()
    assert within(GONE_S, lambda: len(tree(int(pid))) > 1)
    pids = tree(int(pid))
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert within(GONE_S, lambda: not any(map(lives, pids)))
    assert within(GONE_S, lambda: not Path(folder).exists())
    parent.stdout.close()
    parent.stdin.close()


@pytest.mark.parametrize("error", [BudgetError("too much", hint="less"), EngineError("gone")])
def test_errors_travel_as_what_they_are(error: VortexError) -> None:
    found = error_of(json.loads(json.dumps(error.to_json())))
    assert (type(found), found.report()) == (type(error), error.report())
    assert type(error_of({"code": "Path", "message": "not an error"})) is EngineError


def test_finds_the_python_that_a_variable_names(tmp_path: Path) -> None:
    path = str(make_python(tmp_path))
    found = find_python({VARIABLE: path})
    assert (found.path, found.version, found.supported) == (path, "0.5.23", True)


@pytest.mark.parametrize(("version", "ours", "error", "message"), [
    ("", True, MissingExtra, "SGLang is not installed"),
    ("0.5.1", True, EngineError, "0.5.1 of .* is not supported"),
    ("0.5.23", False, EngineError, "not this package"),
])
def test_refuses_a_python_that_cannot_serve(tmp_path: Path, version: str, ours: bool, error: type[VortexError],
                                            message: str) -> None:
    path = str(make_python(tmp_path, version, ours=ours))
    with pytest.raises(error, match=message) as refused:
        find_python({VARIABLE: path})
    assert "make sglang-cpu" in refused.value.hint or path in refused.value.hint


def test_refuses_a_python_that_does_not_run(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="does not run"):
        find_python({VARIABLE: str(tmp_path / "nothing")})
