"""What the client notes of servers whose delays are known, and of servers that fail."""
import asyncio
import json
import math
import re
import subprocess
import sys
from dataclasses import asdict
from typing import Any

import pytest

from tests.serving.load.fake_server import Clock, FakeServer, in_thread
from vortex.errors import EngineError
from vortex.serving.load.client import Observed, observe, send_all
from vortex.serving.load.latency import latencies
from vortex.serving.load.streaming import Address
from vortex.serving.load.traffic import Traffic


def traffic(**changes: Any) -> Traffic:
    return Traffic(**{"rate": math.inf, "requests": 1, "prompt_tokens": (5, 5), "output_tokens": 8, "vocabulary": 50, **changes})


def noted(server: FakeServer, load: Traffic) -> list[Observed]:
    """What the client notes, in this process, by the server's own clock if it has one."""
    found: list[Observed] = []

    async def run() -> None:
        async with server.listening() as address:
            if server.clock is None:
                await send_all(address, load, found.append)
            else:
                await send_all(address, load, found.append, server.clock)

    asyncio.run(run())
    return found


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("per_event", [1, 3])
def test_constant_delays_give_those_latencies(chunked: bool, per_event: int) -> None:
    one, = noted(FakeServer(first_s=0.25, gap_s=0.01 * per_event, per_event=per_event, chunked=chunked, clock=Clock()), traffic())
    assert one.error == "" and one.cached_tokens == 2 and one.prompt_tokens == 5
    assert [count for _, count in one.arrivals] == [*range(per_event, 8, per_event), 8]
    told = latencies([one])
    assert told.ttft is not None and told.ttft.p50 == pytest.approx(0.25)
    assert told.tokens == 8 and told.seconds == pytest.approx(one.arrivals[-1][0])
    if per_event == 1:
        assert told.tpot is not None and (told.tpot.p50, told.tpot.p99) == pytest.approx((0.01, 0.01))
        assert told.gap is not None and (told.gap.p50, told.gap.most) == pytest.approx((0.01, 0.01))
        assert told.whole is not None and told.whole.p50 == pytest.approx(0.32)


def test_words_of_a_model_that_look_like_counts_are_not_counted() -> None:
    one, = noted(FakeServer(told='"completion_tokens": 999'), traffic())
    assert one.arrivals[-1][1] == 8 and not one.error


@pytest.mark.parametrize(("server", "match"), [
    (FakeServer(longest=3), "answers 400: .*the prompt is too long"),
    (FakeServer(break_after=0), "bytes read"), (FakeServer(break_after=3), "bytes read"),
    (FakeServer(break_after=3, chunked=False), "3 of 8 tokens came"),
])
def test_a_request_that_fails_says_why(server: FakeServer, match: str) -> None:
    one, = noted(server, traffic())
    assert re.search(match, one.error), one.error


def test_the_client_process_sends_all_and_each_ends_once() -> None:
    server, heard = FakeServer(), list[Observed]()

    def run(address: Address) -> None:
        found = observe(str(address), traffic(requests=12, rate=400.0, prompt_tokens=(2, 9)), heard.append)
        assert sorted(one.id for one in heard) == sorted(one.id for one in found) and len(found) == 12
        assert [one.due_s for one in found] == sorted(one.due_s for one in found)
        assert all(one.sent_s >= one.due_s and one.arrivals[0][0] >= one.sent_s for one in found)
        assert all(b[0] >= a[0] for one in found for a, b in zip(one.arrivals, one.arrivals[1:], strict=False))

    in_thread(run, server)
    sent = [ask.tokens for ask in traffic(requests=12, rate=400.0, prompt_tokens=(2, 9)).asks()]
    assert sorted(tuple(ask["input_ids"]) for ask in server.asked) == sorted(sent)
    assert all(ask["sampling_params"] == {"temperature": 0, "max_new_tokens": 8, "ignore_eos": True} for ask in server.asked)


def test_some_failures_are_told_and_all_of_them_refused() -> None:
    def some(address: Address) -> None:
        found = observe(str(address), traffic(requests=9, prompt_tokens=(1, 9)))
        told = latencies(found)
        assert 0 < told.failed < 9 and told.tokens == 8 * (9 - told.failed)

    def none(address: Address) -> None:
        with pytest.raises(EngineError, match=r"no request was answered in full .*answers 400"):
            observe(str(address), traffic(requests=3))

    in_thread(some, FakeServer(longest=5))
    in_thread(none, FakeServer(longest=1))


def test_a_client_that_nobody_listens_to_ends_without_a_word() -> None:
    def run(address: Address) -> None:
        client = subprocess.Popen([sys.executable, "-m", "vortex.serving.load.client"], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert client.stdout is not None
        client.stdout.close()
        assert client.stdin is not None and client.stderr is not None
        client.stdin.write(json.dumps({"url": str(address), "traffic": asdict(traffic(requests=3))}))
        client.stdin.close()
        assert (client.wait(60), client.stderr.read()) == (1, "")
        client.stderr.close()

    in_thread(run, FakeServer())


def test_nobody_listening_is_refused() -> None:
    with pytest.raises(EngineError, match=r"no request was answered in full by http://127\.0\.0\.1:1"):
        observe("http://127.0.0.1:1", traffic())


@pytest.mark.parametrize("url", ["https://127.0.0.1:30000", "127.0.0.1:30000", "http://127.0.0.1:x", "http://h/v1"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(EngineError, match="is no address"):
        Address.of(url)


def test_a_server_that_speaks_something_else_is_told() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"+PONG\r\n\r\n")
        writer.close()

    async def run() -> list[Observed]:
        found: list[Observed] = []
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            await send_all(Address("127.0.0.1", server.sockets[0].getsockname()[1]), traffic(), found.append)
        return found

    one, = asyncio.run(run())
    assert "speaks no HTTP" in one.error
