"""The real server of `vortex serve` on loopback, asked as its users ask it; started once."""
import io
import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest

from agent.cli.main import main
from vortex.serving.sglang.control import Control

COMMAND = [sys.executable, "-m", "agent.cli.main"]
TEMPLATE = "{% for message in messages %}{{ message['content'] }} {% endfor %}"
PROMPT = [3 + (7 * place) % 700 for place in range(400)]          # 25 blocks, of which a quarter is attended
TOKENS = 40
SOON_S = 120.0


class Server:
    """A running one. `told` is its ready line."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        self.process = process
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        self.told: dict[str, Any] = json.loads(line)
        self.client = openai.OpenAI(base_url=self.told["url"] + "/v1", api_key="none", max_retries=0, timeout=SOON_S)

    def vortex(self, *words: str) -> tuple[int, str]:
        """Exit code, and all that a command says; run here, since its imports take seconds."""
        said = io.StringIO()
        try:
            with redirect_stdout(said), redirect_stderr(said):
                main(words)
        except SystemExit as ended:
            return int(ended.code or 0), said.getvalue()
        return 0, said.getvalue()

    def swap(self, *words: str) -> dict[str, Any]:
        code, said = self.vortex("swap", self.told["url"], *words, "--json")
        assert code == 0, said
        told: dict[str, Any] = json.loads(said)
        return told

    def counters(self) -> dict[str, Any]:
        return Control(Path(self.told["folder"])).ask({"do": "counters"})[0]

    def metrics(self) -> dict[str, float]:
        page = urllib.request.urlopen(self.told["url"] + "/metrics", timeout=SOON_S).read().decode()
        return {name: float(value) for name, value in re.findall(r"^(vortex_\w+)\{[^}]*\} (\S+)$", page, re.MULTILINE)}

    def text(self, tokens: int = TOKENS, **more: Any) -> str:
        answer = self.client.completions.create(model="mine", prompt=PROMPT, max_tokens=tokens, temperature=0,
                                                extra_body={"ignore_eos": True}, **more)
        assert answer.usage is not None and answer.usage.completion_tokens == tokens
        return answer.choices[0].text


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "chat.jinja").write_text(TEMPLATE)
    words = ["serve", "probe", "--flow", "quest", "--set", "topk_ratio=0.25", "--set", "dense_below='never'", "--port", "0",
             "--served-model-name", "mine", "--json", "--", "--max-total-tokens", "4096", "--max-running-requests", "8",
             "--chat-template", str(folder / "chat.jinja")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VORTEX_CACHE", str(folder / "cache"))
        process = subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            yield Server(process)
        finally:
            process.kill()
            process.communicate()


def eventually(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + SOON_S
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_the_ready_line_says_what_is_served(server: Server) -> None:
    assert (server.told["event"], server.told["model"], server.told["flow"]) == ("ready", "mine", "quest")
    assert server.told["radix"] is True
    assert server.told["index_bytes"] == server.counters()["index_bytes"] > 0
    assert [model.id for model in server.client.models.list()] == ["mine"]


def test_completions_whole_and_in_pieces_are_the_same(server: Server) -> None:
    whole = server.text()
    pieces = server.client.completions.create(model="mine", prompt=PROMPT, max_tokens=TOKENS, temperature=0, stream=True,
                                              extra_body={"ignore_eos": True})
    assert "".join(piece.choices[0].text for piece in pieces if piece.choices) == whole != ""


def test_the_example_of_the_docs_runs(server: Server) -> None:
    text = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()
    example = re.findall(r"```py\n(.*?)```", text, re.DOTALL)[0]
    for ours, here in (("http://127.0.0.1:30000", server.told["url"]), ('model="probe"', 'model="mine"')):
        assert ours in example
        example = example.replace(ours, here)
    said = io.StringIO()
    with redirect_stdout(said):
        exec(example, {})
    assert said.getvalue().strip()


def test_chats_whole_and_in_pieces_are_the_same(server: Server) -> None:
    asked: Any = {"model": "mine", "messages": [{"role": "user", "content": "a b c d " * 60}], "max_tokens": TOKENS,
                  "temperature": 0, "extra_body": {"ignore_eos": True}}
    whole = server.client.chat.completions.create(**asked).choices[0].message.content
    pieces = server.client.chat.completions.create(**asked, stream=True)
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices) == whole != ""


def test_the_metrics_page_tells_of_blocks_and_memory(server: Server) -> None:
    before = server.counters()
    server.text()
    after = server.counters()
    steps = after["steps"] - before["steps"]
    assert steps in (TOKENS - 1, TOKENS)
    chosen, possible = (after[name] - before[name] for name in ("selected_blocks", "possible_blocks"))
    assert 0.2 < chosen / possible < 0.4, "a quarter of the blocks, and three at least"
    eventually(lambda: server.metrics()["vortex_selected_blocks_total"] == after["selected_blocks"])
    told = server.metrics()
    assert told["vortex_decode_steps_total"] == after["steps"] and told["vortex_index_bytes"] == after["index_bytes"]
    assert told["vortex_dense_steps_total"] == 0


def test_a_bench_under_load_gives_the_server_back_as_it_was(server: Server) -> None:
    before = server.counters()
    code, said = server.vortex("bench", "serve", server.told["url"], "--flow", "centroid", "--set", "topk_ratio=0.25", "--set",
                               "dense_below='never'", "--rate", "inf", "--requests", "3", "--prompt-tokens", "180:200",
                               "--output-tokens", "6", "--warm", "0", "--json")
    assert code == 0, said
    turns = json.loads(said)["turns"]
    assert [(turn["side"], turn["failed"], turn["tokens"]) for turn in turns] == [
        ("dense", 0, 18), ("flow", 0, 18), ("dense", 0, 18)]
    assert turns[0]["share"] is None and 0.2 < turns[1]["share"] < 0.4
    assert all(turn["cached_tokens"] == 0 for turn in turns)               # each began with an empty prefix cache
    assert {name: server.counters()[name] for name in ("flow", "point")} == {name: before[name] for name in ("flow", "point")}


def test_a_client_that_disconnects_takes_its_request_with_it(server: Server) -> None:
    free = server.counters()["free_tokens"]
    whole = server.text()
    stream = server.client.completions.create(model="mine", prompt=PROMPT[1:], max_tokens=3000, temperature=0, stream=True,
                                              extra_body={"ignore_eos": True})
    for _, _ in zip(range(3), stream, strict=False):
        pass
    assert server.counters()["running"] == 1
    stream.close()
    eventually(lambda: server.counters()["running"] == 0)
    Control(Path(server.told["folder"])).ask({"do": "flush"})
    assert server.counters()["free_tokens"] >= free
    assert server.text() == whole


@pytest.mark.parametrize("strange", [10**7, -1])
def test_ids_that_are_no_tokens_are_a_bad_request(server: Server, strange: int) -> None:
    with pytest.raises(openai.BadRequestError, match=f"holds token {strange}"):
        server.client.completions.create(model="mine", prompt=[5, strange], max_tokens=1)
    assert server.text(4)


def test_a_swap_under_load_lets_every_request_end(server: Server) -> None:
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(server.text, 100) for _ in range(4)]
        eventually(lambda: server.counters()["running"] > 0)
        told = [server.swap("--flow", "centroid", "--set", "topk_ratio=0.25"), server.swap("--dense")]
        texts = [one.result() for one in running]
    assert all(texts)
    assert [one["flow"] for one in told] == ["centroid", "dense"]
    assert told[0]["index_bytes"] * 2 == server.told["index_bytes"] and told[1]["index_bytes"] == 0
    assert server.counters()["flow"] is None


def test_a_flow_comes_back_as_it_was(server: Server) -> None:
    again = ("--flow", "quest", "--set", "topk_ratio=0.25", "--set", "dense_below='never'")
    server.swap(*again)
    quest = server.text()
    server.swap("--flow", "recent", "--set", "topk_ratio=0.05")
    assert server.text() != quest, "the probe's tokens depend on what is attended"
    server.swap(*again)
    assert server.text() == quest


def test_a_flow_with_state_shares_no_prefixes(server: Server) -> None:
    code, said = server.vortex("swap", server.told["url"], "--flow", "h2o")
    assert code == 0 and "prefix cache  off: the flow keeps state" in said
    server.text()
    assert server.swap("--flow", "quest")["radix"] is True


def test_a_flow_that_is_refused_changes_nothing(server: Server) -> None:
    before = server.counters()["flow"]
    for words, why in ((["--flow", "mla-centroid"], "latent"), (["--flow", "qest"], "Did you mean quest?"),
                       (["--flow", "quest", "--set", "block_size=64"], "a page of 16 tokens is no whole number of blocks")):
        code, said = server.vortex("swap", server.told["url"], *words)
        assert code == 2 and why in said, said
    assert server.counters()["flow"] == before
    assert server.text()


def test_its_port_is_in_use_and_it_is_listed(server: Server) -> None:
    port = server.told["url"].rpartition(":")[2]
    code, said = server.vortex("serve", "probe", "--port", port)
    assert code == 2 and "already in use" in said
    code, said = server.vortex("serve", "--list")
    assert code == 0 and server.told["url"] in said and "probe" in said


def test_ctrl_c_ends_every_process(server: Server) -> None:
    leader = psutil.Process(server.told["pid"])
    processes = [leader, *leader.children(recursive=True)]
    assert len(processes) >= 3, "SGLang runs a scheduler and a detokenizer"
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(SOON_S) == 0
    assert not [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert not Path(server.told["folder"]).exists()
