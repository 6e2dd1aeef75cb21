"""`vortex bench`: against a server on loopback that streams and is controlled as ours is, and on the embedded engine."""
import asyncio
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.cli.main import main
from tests.serving.load.fake_server import FakeServer
from vortex.config import OperatingPoint
from vortex.serving.load.duel import Duel
from vortex.serving.sglang.control import write_answer
from vortex.serving.sglang.desk import Desk
from vortex.serving.sglang.running import Running, own_folder, register
from vortex.serving.sglang.settings import Settings

LOAD = ("--rate", "inf", "--requests", "5", "--prompt-tokens", "4:9", "--output-tokens", "6", "--warm", "1")


class Schedulers:
    """Answers errands as one rank would, and remembers them. A flow attends a quarter of its blocks."""

    def __init__(self, desk: Desk) -> None:
        self.asked: list[dict[str, Any]] = []
        self.told = {"steps": 0, "dense_steps": 0, "selected_blocks": 0, "possible_blocks": 0, "flow": None,
                     "point": OperatingPoint().hash}
        self._desk = desk
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while not self._over.wait(0.002):
            for errand in self._desk.taken():
                self.asked.append(json.loads(errand.request))
                write_answer(Path(errand.folder), 0, {"ok": True, **self._answer(self.asked[-1])})

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["do"] == "use":
            self.told["flow"] = asked["graph"] and json.loads(asked["graph"])["name"]
        if asked["do"] == "counters" and self.told["flow"]:            # as if a load had run since the last time
            for name, more in (("steps", 10), ("dense_steps", 4), ("selected_blocks", 100), ("possible_blocks", 400)):
                self.told[name] += more
        return dict(self.told) if asked["do"] == "counters" else {}

    def close(self) -> None:
        self._over.set()
        self._thread.join()


@contextmanager
def running(server: FakeServer) -> Iterator[tuple[str, Schedulers]]:
    """Its URL; the fake of a server that `vortex serve probe` started, densely."""
    loop, ready, ended = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    url = []

    async def serve() -> None:
        async with server.listening() as address:
            url.append(str(address))
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    ready.wait()
    port = int(url[0].rpartition(":")[2])
    with own_folder(port) as folder:
        Settings(graph=None, point=OperatingPoint()).put(folder)
        register(Running(host="127.0.0.1", port=port, model="probe", ranks=1, pid=1, folder=str(folder), log=""), folder)
        desk = Desk(folder, 0, [0])
        schedulers = Schedulers(desk)
        try:
            yield url[0], schedulers
        finally:
            schedulers.close()
            desk.close()
            loop.call_soon_threadsafe(ended.set)
            thread.join()


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["bench", *words])
    out = capsys.readouterr()
    return int(ended.value.code or 0), out.out, out.err


@pytest.mark.usefixtures("own_cache")
def test_a_running_server_is_loaded_in_turns_and_given_back(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with running(FakeServer()) as (url, schedulers):
        picture = tmp_path / "a.png"
        code, out, err = run(capsys, "serve", url, "--flow", "quest", *LOAD, "--slo-ttft", "30", "--plot", str(picture))
        assert (code, err) == (0, "")
        used = [asked["graph"] and json.loads(asked["graph"])["name"] for asked in schedulers.asked if asked["do"] == "use"]
        assert used == [None, "quest", None, None]                     # the last: what it served before
        assert [asked["do"] for asked in schedulers.asked][1:5] == ["use", "flush", "counters", "counters"]
        assert schedulers.told["point"] == OperatingPoint().hash
    assert out.startswith(f"probe at {url}   flow: quest, 0.125 of the blocks, block size 16\n"
                          "5 requests all at once, prompts of 4 to 9 tokens, 6 new ones, seed 0\n")
    assert [line.split()[:3] for line in out.splitlines() if "  p50  " in line] == [
        ["to", "first", "token"], ["a", "token", "after"], ["between", "tokens", "p50"], ["whole", "request", "p50"]]
    assert "goodput, requests/s" in out and "dense turns" in out
    assert "quest: 4 of 10 decode steps were dense by the point's dense_below; the others attended 25.0% of the blocks." in out
    assert picture.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.usefixtures("own_cache")
def test_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    server = FakeServer(longest=8)
    with running(server) as (url, _):
        code, out, err = run(capsys, "serve", url, "--flow", "quest", *LOAD, "--rounds", "2", "--json")
    told = json.loads(out)
    assert (code, err, told["flow"], told["traffic"]["rate"]) == (0, "", "quest", None)
    assert [turn["side"] for turn in told["turns"]] == ["dense", "flow", "dense", "flow", "dense"]
    assert {turn["failed"] for turn in told["turns"]} == {told["turns"][0]["failed"]} and told["turns"][0]["failed"] < 5
    assert [turn["share"] for turn in told["turns"]] == [None, 0.25, None, 0.25, None]
    assert set(told["compared"]["tpot p99"]) == {"name", "dense", "flow", "times", "low", "high", "drift", "steady"}
    assert len(server.asked) == 5 * (5 + 1)


@pytest.mark.parametrize(("words", "code", "said"), [
    (("serve", "12345", "--flow", "quest"), 2, "no server that `vortex serve` started runs at port 12345"),
    (("serve", "http://127.0.0.1:12345", "--flow", "quest"), 2, "no server that `vortex serve` started"),
    (("decode", "probe", "--flow", "nothing-like-it"), 2, "FlowNotFound"),
    (("decode", "probe", "--flow", "quest", "--batch", "0"), 2, "--batch 0: '0' is not a number"),
    (("decode", "probe", "--flow", "quest", "--engine", "steam"), 2, "engine: Input should be 'embedded' or 'sglang'"),
])
@pytest.mark.usefixtures("own_cache")
def test_mistakes_are_refused(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, said: str) -> None:
    found, out, err = run(capsys, *words)
    assert (found, out) == (code, "") and said in err


@pytest.mark.parametrize(("words", "said"), [
    ((), "no flow is named"), (("--flow", "quest", "--rate", "0"), "a rate of 0 requests"),
    (("--flow", "quest", "--plot", "/nowhere/a.png"), "there is no folder /nowhere"),
    (("--flow", "quest", "--set", "topk_val"), "not of the form key=value"),
    (("--flow", "quest", "--prompt-tokens", "9:4"), "prompts of 9 to 4"),
    (("--flow", "quest", "--prompt-tokens", "many"), "two numbers with a colon"),
    (("--flow", "mla_centroid"), "is for latent attention"),
])
@pytest.mark.usefixtures("own_cache")
def test_loads_that_cannot_be_are_refused_before_the_server_is_touched(
        capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str) -> None:
    with running(FakeServer()) as (url, schedulers):
        code, out, err = run(capsys, "serve", url, *words)
        assert (code, out) == (2, "") and said in err
        assert {asked["do"] for asked in schedulers.asked} <= {"counters"}
    monkeypatch.setattr(subprocess, "Popen", None)                     # a server of its own is not started for it either
    code, out, err = run(capsys, "serve", "probe", *words)
    assert (code, out) == (2, "") and said in err


@pytest.mark.usefixtures("own_cache")
def test_ctrl_c_gives_the_server_back_as_it_was(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken_off(duel: Duel, watch: object) -> None:
        duel.swap("flow")
        raise KeyboardInterrupt

    monkeypatch.setattr(Duel, "turns", broken_off)
    with running(FakeServer()) as (url, schedulers):
        code, _, err = run(capsys, "serve", url, "--flow", "quest")
        assert (code, err) == (130, "")
        assert [asked["graph"] is None for asked in schedulers.asked if asked["do"] == "use"] == [False, True]


def test_decode_on_the_embedded_engine(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ("decode", "probe", "--flow", "quest", "--flow", "centroid", "--engine", "embedded", "--batch", "1,2",
             "--context", "64", "--steps", "1", "--rounds", "2")
    code, out, err = run(capsys, *words, "--plot", str(tmp_path / "a.png"))
    assert (code, err) == (0, "") and (tmp_path / "a.png").exists()
    assert [line.split()[:3] for line in out.splitlines()[3:9]] == [[b, "64", side] for b in "12"
                                                                 for side in ("dense", "quest", "centroid")]
    told = json.loads(run(capsys, *words, "--json")[1])
    assert [(cell["batch"], cell["context"]) for cell in told["cells"]] == [(1, 64), (2, 64)]
    assert {len(own) for cell in told["cells"] for own in cell["step_s"].values()} == {2}
    assert set(told["cells"][0]["times_dense"]) == {"quest", "centroid"}
