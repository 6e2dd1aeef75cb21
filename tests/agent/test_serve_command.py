"""`vortex serve` and `vortex swap` as a shell sees them, over a stand-in for SGLang's server: refusals, signals, what is left."""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from agent.cli.main import main
from tests.agent.stand_in_sglang import light, make_python

COMMAND = [sys.executable, "-m", "agent.cli.main"]
SOON_S = 20.0


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_python(tmp_path_factory.mktemp("python"))


@pytest.fixture
def environment(python: Path, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "tmp").mkdir()
    return {**os.environ, "VORTEX_SGLANG_PYTHON": str(python), "VORTEX_CACHE": str(tmp_path / "cache"),
            "TMPDIR": str(tmp_path / "tmp"), **light(tmp_path / "light")}


def vortex(environment: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=120, env=environment)


class Serving:
    """A `vortex serve` that runs, and what its one line said."""

    def __init__(self, environment: dict[str, str], *words: str) -> None:
        self.environment = environment
        self.process = subprocess.Popen([*COMMAND, "serve", "probe", "--port", "0", "--json", *words], env=environment,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def ready(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        told: dict[str, Any] = json.loads(self.process.stdout.readline())
        return told

    def log(self) -> str:
        found = list(Path(self.environment["VORTEX_CACHE"]).glob("servers/*/*/server.log"))
        return found[0].read_text() if found else ""

    def processes(self) -> list[int]:
        """Of the server: its leader and its child."""
        eventually(lambda: "children" in self.log())
        child = int(re.findall(r"^children (\d+)$", self.log(), re.MULTILINE)[0])
        return [psutil.Process(child).ppid(), child]

    def left(self) -> list[Path]:
        """Temporary files, and memory that was shared."""
        shared = map(Path, re.findall(r"^shared (.*)$", self.log(), re.MULTILINE))
        return [*Path(self.environment["TMPDIR"]).glob("vortex-*"), *(path for path in shared if path.exists())]


@pytest.fixture
def serving(environment: dict[str, str]) -> Iterator[Callable[..., Serving]]:
    started = []

    def start(*words: str, wrong: str = "") -> Serving:
        started.append(Serving({**environment, "STAND_IN": wrong}, *words))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()


def eventually(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + SOON_S
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def gone(pids: list[int]) -> bool:
    """A process that nobody waited for yet has left all the same."""
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)


@pytest.mark.parametrize(("words", "said"), [
    (["serve"], "no model is named"),
    (["serve", "/nowhere"], "there is no folder /nowhere"),
    (["serve", "probe", "--flow", "qest"], "Did you mean quest?"),
    (["serve", "probe", "--flow", "mla-centroid"], "the flow mla-centroid is for latent attention (MLA)"),
    (["serve", "probe", "--flow", "quest", "--bundle", "."], "a bundle holds its flow"),
    (["serve", "probe", "--bundle", "."], "is no bundle"),
    (["serve", "probe", "--set", "topk_vla=3"], "Did you mean topk_val?"),
    (["serve", "probe", "--flow", "quest", "--set", "layers_skip=[9]"], "layers_skip names layer 9"),
    (["serve", "probe", "--point", "nowhere.toml"], "cannot read nowhere.toml"),
    (["serve", "probe", "--host", "no.such.host.invalid"], "is no address of this machine"),
    (["serve", "probe", "--port", "0", "--", "--attention-backend", "triton"], "is said by --flow of vortex serve"),
    (["serve", "probe", "--port", "0", "--", "--port=1"], "is said by --port of vortex serve"),
    (["swap", "30999", "--flow", "quest"], "no server that `vortex serve` started runs at port 30999"),
    (["swap", "30999"], "one of --flow, --bundle and --dense"),
    (["swap", "nonsense", "--dense"], "names no port"),
    (["swap", "30999", "--dense", "--folder", "/nowhere"], "no server has left its settings in /nowhere"),
])
def test_a_mistake_is_one_message_and_exit_code_2(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch,
                                                  capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    monkeypatch.setenv("VORTEX_SGLANG_PYTHON", environment["VORTEX_SGLANG_PYTHON"])
    monkeypatch.setenv("VORTEX_CACHE", environment["VORTEX_CACHE"])
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert said.lower() in capsys.readouterr().err.lower()
    assert not list(Path(environment["VORTEX_CACHE"]).glob("servers/*/*/server.log"))


def test_another_version_of_sglang_is_refused(environment: dict[str, str], tmp_path: Path) -> None:
    python = make_python(tmp_path / "old", version="0.5.9")
    done = vortex({**environment, "VORTEX_SGLANG_PYTHON": str(python)}, "serve", "probe")
    assert done.returncode == 2
    assert "SGLang 0.5.9" in done.stderr and "Supported: 0.5.23" in done.stderr


def test_a_port_in_use_is_refused_before_anything_starts(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = vortex(environment, "serve", "probe", "--port", port)
    assert done.returncode == 2
    assert f"cannot listen at 127.0.0.1:{port}: address already in use" in done.stderr
    assert not list(Path(environment["VORTEX_CACHE"]).glob("servers/*/*/server.log"))


def test_what_sglang_is_told(serving: Callable[..., Serving]) -> None:
    one = serving("--flow", "quest", "--served-model-name", "mine", "--set", "block_size=32", "--", "--max-total-tokens", "640")
    told = one.ready()
    arguments = json.loads(re.findall(r"^arguments (.*)$", one.log(), re.MULTILINE)[0])
    said = dict(zip(arguments, [*arguments[1:], ""], strict=True))
    assert said["--port"] == told["url"].rpartition(":")[2]
    assert (said["--attention-backend"], said["--page-size"], said["--served-model-name"]) == ("vortex", "32", "mine")
    assert said["--max-total-tokens"] == "640" and arguments.count("--max-total-tokens") == 1
    assert "--enable-metrics" in arguments
    settings = json.loads((Path(told["folder"]) / "settings.json").read_text())
    assert json.loads(settings["graph"])["name"] == "quest"
    assert (settings["point"]["block_size"], settings["point"]["model"], settings["point"]["engine"]) == (32, "probe", "sglang")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything_in_order(serving: Callable[..., Serving], number: signal.Signals) -> None:
    one = serving()
    told = one.ready()
    pids = one.processes()
    listed = json.loads(vortex(one.environment, "serve", "--list", "--json").stdout)
    assert [(server["model"], server["pid"]) for server in listed] == [("probe", told["pid"])]
    one.process.send_signal(number)
    assert one.process.wait(SOON_S) == 0
    assert gone(pids) and one.left() == []
    assert json.loads(vortex(one.environment, "serve", "--list", "--json").stdout) == []


def test_the_second_ctrl_c_does_not_wait_for_requests(serving: Callable[..., Serving]) -> None:
    one = serving(wrong="deaf")
    one.ready()
    pids = one.processes()
    one.process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        one.process.wait(1)
    one.process.send_signal(signal.SIGINT)
    assert one.process.wait(SOON_S) == 130
    assert gone(pids) and one.left() == []


def test_ctrl_c_while_it_starts(serving: Callable[..., Serving]) -> None:
    one = serving(wrong="slow")
    pids = one.processes()
    one.process.send_signal(signal.SIGINT)
    assert one.process.wait(SOON_S) == 0
    assert gone(pids) and one.left() == []


@pytest.mark.parametrize("wrong", ["", "slow"])
def test_a_server_that_a_bench_started_ends_with_the_bench(environment: dict[str, str], wrong: str) -> None:
    bench = subprocess.Popen([*COMMAND, "bench", "serve", "probe", "--flow", "quest"], stderr=subprocess.DEVNULL,
                             env={**environment, "STAND_IN": wrong})
    eventually(lambda: [child.status() for child in psutil.Process(bench.pid).children()] != [])
    [serve] = psutil.Process(bench.pid).children()
    eventually(lambda: serve.children() != [])
    pids = [serve.pid, *(child.pid for child in serve.children(recursive=True))]
    bench.kill()
    bench.wait()
    eventually(lambda: gone(pids))


@pytest.mark.parametrize("wrong", ["", "slow", "deaf"])
def test_nothing_outlives_a_command_that_is_killed(serving: Callable[..., Serving], wrong: str) -> None:
    one = serving(wrong=wrong)
    pids = one.processes()
    one.process.kill()
    one.process.wait()
    eventually(lambda: gone(pids) and one.left() == [])
    assert json.loads(vortex(one.environment, "serve", "--list", "--json").stdout) == []


def test_the_next_takes_away_what_a_killed_server_left(environment: dict[str, str], serving: Callable[..., Serving]) -> None:
    one = serving()
    told = one.ready()
    pids = one.processes()
    os.killpg(told["pid"], signal.SIGSTOP)                # it does not see its command go
    one.process.kill()
    one.process.wait()
    os.killpg(told["pid"], signal.SIGKILL)
    eventually(lambda: gone(pids))
    for path in one.left():
        if path.is_file():                                # nobody was left who could know of it
            path.unlink()
    assert Path(told["folder"]).exists()
    port = told["url"].rpartition(":")[2]
    done = vortex({**environment, "STAND_IN": "memory"}, "serve", "probe", "--port", port)
    assert done.returncode == 2
    assert not Path(told["folder"]).exists() and one.left() == []


def test_a_server_that_ends_while_it_starts_says_why(environment: dict[str, str]) -> None:
    done = vortex({**environment, "STAND_IN": "memory"}, "serve", "probe", "--port", "0", "--json")
    assert done.returncode == 2 and done.stdout == ""
    assert "memory" in json.loads(done.stderr)["message"]


def test_a_server_that_ends_later_says_why(serving: Callable[..., Serving]) -> None:
    one = serving()
    told = one.ready()
    pids = one.processes()
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        urllib.request.urlopen(told["url"] + "/crash", timeout=SOON_S)
    _, said = one.process.communicate(timeout=SOON_S)
    assert one.process.returncode == 2
    assert "memory" in json.loads(said)["message"]
    assert gone(pids) and one.left() == []
