"""The client: sends requests when they are due, whether or not earlier ones came back, and notes when each token arrives.

It runs in a process of its own (`python -m vortex.serving.load.client`, a job as JSON on its input, a line of JSON for each
request that ended on its output), so that nothing else the caller does delays what it notes.
"""
import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import asdict, dataclass

from vortex.errors import EngineError
from vortex.serving.load.streaming import Address, events
from vortex.serving.load.traffic import Ask, Traffic

PATH = "/generate"
SILENCE_S = 600.0                         # a server that says nothing for so long is given up
_COUNT = re.compile(rb'"completion_tokens":\s*(\d+)')
_CACHED = re.compile(rb'"cached_tokens":\s*(\d+)')
_ERROR = re.compile(rb'^\{"error":')
Clock = Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class Observed:
    """A request as the client saw it, in seconds from the start of the load. `arrivals`: when, and how many tokens by then."""

    id: str
    prompt_tokens: int
    due_s: float
    sent_s: float
    arrivals: tuple[tuple[float, int], ...]
    cached_tokens: int = 0
    error: str = ""                       # why it has no, or not all, tokens

    @classmethod
    def from_line(cls, line: str) -> "Observed":
        told = json.loads(line)
        return cls(**{**told, "arrivals": tuple((at, count) for at, count in told["arrivals"])})


def observe(url: str, traffic: Traffic, ended: Callable[[Observed], None] = lambda one: None) -> list[Observed]:
    """Sends the traffic from another process; `ended` hears of each request as it ends. In the order of arrival.

    Raises EngineError where no request got all its tokens, or the client itself fails.
    """
    address = Address.of(url)
    job = json.dumps({"url": str(address), "traffic": asdict(traffic)})
    found = []
    for line in _lines_of_client(job):
        found.append(Observed.from_line(line))
        ended(found[-1])
    failed = [one for one in found if one.error]
    if len(failed) == len(found):
        raise EngineError(f"no request was answered in full by {url}: {failed[0].error}" if failed else "the client said nothing",
                          hint="Is the server up, and is the context long enough for prompt and output?")
    return sorted(found, key=lambda one: one.due_s)


def _lines_of_client(job: str) -> Iterator[str]:
    client = subprocess.Popen([sys.executable, "-m", "vortex.serving.load.client"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True, start_new_session=True)   # Ctrl-C is the caller's
    assert client.stdin is not None and client.stdout is not None
    try:
        client.stdin.write(job)
        client.stdin.close()
        yield from client.stdout
        if client.wait():
            raise EngineError(f"the client of the load ended with {client.returncode}")
    finally:
        client.kill()
        client.wait()
        client.stdout.close()


async def send_all(address: Address, traffic: Traffic, ended: Callable[[Observed], None],
                   clock: Clock = time.perf_counter) -> None:
    """Open loop: a request is sent when it is due, however many are under way."""
    asks = list(traffic.asks())           # drawn before the clock runs
    bodies = [_body(ask) for ask in asks]
    began = clock()
    async with asyncio.TaskGroup() as group:
        for ask, body in zip(asks, bodies, strict=True):
            await asyncio.sleep(max(0.0, began + ask.at_s - clock()))
            group.create_task(_send(address, ask, body, lambda: clock() - began, ended))


def _body(ask: Ask) -> bytes:
    sampling = {"temperature": 0, "max_new_tokens": ask.new_tokens, "ignore_eos": True}
    return json.dumps({"input_ids": ask.tokens, "sampling_params": sampling, "stream": True}).encode()


async def _send(address: Address, ask: Ask, body: bytes, now: Clock, ended: Callable[[Observed], None]) -> None:
    sent, error, cached = now(), "", 0
    arrivals: list[tuple[float, int]] = []
    try:
        async with asyncio.timeout(SILENCE_S) as limit, aclosing(events(address, PATH, body)) as stream:
            async for data in stream:
                at = now()
                limit.reschedule(asyncio.get_running_loop().time() + SILENCE_S)
                if _ERROR.match(data):
                    raise EngineError(data.decode(errors="replace")[:400])
                arrivals.append((at, _number(_COUNT, data)))
                cached = _number(_CACHED, data)
    except TimeoutError:
        error = f"nothing came for {SILENCE_S:g} s"
    except (ValueError, asyncio.LimitOverrunError):
        error = "what listens there speaks no HTTP"
    except (EngineError, OSError, EOFError) as problem:
        error = str(problem) or type(problem).__name__
    if not error and (not arrivals or arrivals[-1][1] < ask.new_tokens):
        error = f"{arrivals[-1][1] if arrivals else 0} of {ask.new_tokens} tokens came"
    ended(Observed(id=ask.id, prompt_tokens=len(ask.tokens), due_s=ask.at_s, sent_s=sent, arrivals=tuple(arrivals),
                   cached_tokens=cached, error=error))


def _number(pattern: re.Pattern[bytes], data: bytes) -> int:
    """The last one: text that a model wrote stands before what the server tells of it."""
    found = pattern.findall(data)
    return int(found[-1]) if found else 0


def main() -> None:
    job = json.load(sys.stdin)
    told = job["traffic"]
    traffic = Traffic(**{**told, "prompt_tokens": tuple(told["prompt_tokens"])})

    def write(one: Observed) -> None:
        print(json.dumps(asdict(one)), flush=True)

    try:
        asyncio.run(send_all(Address.of(job["url"]), traffic, write))
    except* BrokenPipeError:              # nobody listens any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
