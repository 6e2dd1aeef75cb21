"""How servers are named, found and told what to do, without one."""
import socket
from itertools import pairwise
from pathlib import Path

import pytest

from vortex.config import OperatingPoint
from vortex.errors import EngineError
from vortex.serving.sglang.launch import ON_CPU, with_device
from vortex.serving.sglang.running import Running, find, own_folder, port_of, register, running, url_of
from vortex.serving.sglang.server import Launch, attention_ranks, free_port
from vortex.serving.sglang.settings import Settings


def launch(*more: str, **point: object) -> Launch:
    return Launch(python="python", path="/models/one", settings=Settings(point=OperatingPoint(model="one", **point)), more=more)


def record(folder: Path, port: int) -> Running:
    return Running(host="127.0.0.1", port=port, model="one", ranks=1, pid=1, folder=str(folder), log="")


@pytest.mark.parametrize(("host", "url"), [
    ("127.0.0.1", "http://127.0.0.1:9"), ("0.0.0.0", "http://127.0.0.1:9"), ("", "http://127.0.0.1:9"),
    ("::", "http://[::1]:9"), ("box.example", "http://box.example:9"),
])
def test_a_client_on_this_machine_asks_there(host: str, url: str) -> None:
    assert url_of(host, 9) == url


@pytest.mark.parametrize(("text", "port"), [
    ("30000", 30000), ("http://127.0.0.1:30000", 30000), ("http://[::1]:81/v1", 81), ("localhost:8080", 8080),
])
def test_a_server_is_named_by_url_or_port(text: str, port: int) -> None:
    assert port_of(text) == port


@pytest.mark.parametrize("text", ["", "0", "65536", "http://localhost", "localhost:x", "quest", "99999999999"])
def test_what_names_no_port_is_refused(text: str) -> None:
    with pytest.raises(EngineError, match="names no port"):
        port_of(text)


@pytest.mark.parametrize(("tp", "more", "ranks"), [
    (4, (), 4), (4, ("--dp-size", "2"), 4), (4, ("--enable-dp-attention", "--dp-size", "4"), 1),
    (4, ("--dp=2", "--enable-dp-attention"), 2), (8, ("--dp", "8", "--dp", "2", "--enable-dp-attention"), 4),
    (2, ("--enable-dp-attention",), 2),
])
def test_ranks_that_share_heads(tp: int, more: tuple[str, ...], ranks: int) -> None:
    assert attention_ranks(tp, more) == ranks


@pytest.mark.parametrize("dp", ["3", "0"])
def test_ranks_that_cannot_be_shared(dp: str) -> None:
    with pytest.raises(EngineError, match=f"not shared evenly by {dp} replicas"):
        attention_ranks(4, ("--enable-dp-attention", "--dp-size", dp))


def test_pages_are_blocks_unless_someone_says_otherwise() -> None:
    def page(one: Launch) -> list[str]:
        words = one.arguments()
        return [after for word, after in pairwise(words) if word == "--page-size"]

    assert page(launch(block_size=32)) == ["32"]
    assert page(launch(block_size=16, page_size=64)) == ["64"]
    assert page(launch("--page-size", "128")) == ["128"]


@pytest.mark.parametrize("word", ["--attention-backend", "--port=1", "--model-path", "--tp-size=2"])
def test_arguments_that_are_options_of_ours_are_refused(word: str) -> None:
    with pytest.raises(EngineError, match="is said by"):
        launch(word)


def test_without_a_gpu_sglang_is_told_so_and_what_was_asked_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {})
    asked = ["--dtype", "bfloat16", "--mem-fraction-static=0.5"]
    assert with_device(asked, cuda=True) == asked
    told = with_device(asked, cuda=False)
    assert told[:3] == asked and "--disable-cuda-graph" in told
    assert {word for word in told if word in ON_CPU} == ON_CPU.keys() - {"--mem-fraction-static"}
    assert told.count("--dtype") == 1


def test_a_port_that_is_taken_or_an_address_of_others_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(EngineError, match="already in use"):
            free_port("127.0.0.1", taken)
    assert free_port("127.0.0.1", taken) == taken
    assert free_port("127.0.0.1", 0) > 0
    with pytest.raises(EngineError, match="cannot assign"):
        free_port("192.0.2.1", 0)


def test_servers_are_found_while_they_are_held(own_cache: Path, tmp_path: Path) -> None:
    assert running() == []
    with own_folder(4001) as folder:
        assert running() == [], "it does not answer yet"
        register(record(tmp_path, 4001), folder)
        assert running() == [record(tmp_path, 4001)] and find("4001") == record(tmp_path, 4001)
        with pytest.raises(EngineError, match="starts or runs at port 4001"), own_folder(4001):
            pass
        with pytest.raises(EngineError, match="port 4002") as caught:
            find("4002")
        assert "http://127.0.0.1:4001" in caught.value.hint
    assert running() == []


def test_a_record_that_is_broken_or_of_another_version_is_no_server(own_cache: Path) -> None:
    with own_folder(4003) as folder:
        for text in ("", "{", "[]", '{"host": "x"}'):
            (folder / "server.json").write_text(text)
            assert running() == []
