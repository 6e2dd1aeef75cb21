"""A server on loopback that answers /generate as SGLang streams it, at delays by a clock that it moves itself."""
import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from vortex.serving.load.streaming import Address


@dataclass
class Clock:
    """Time that passes when it is told to. Reading it is noticed, so that the server knows what the client has noted."""

    now: float = 100.0
    readings: int = 0

    def __call__(self) -> float:
        self.readings += 1
        return self.now


@dataclass
class FakeServer:
    """`first_s` to the first event, `gap_s` between events of `per_event` tokens each. `break_after`: events until the
    connection is cut. Requests longer than `longest` are refused."""

    first_s: float = 0.0
    gap_s: float = 0.0
    per_event: int = 1
    chunked: bool = True
    break_after: int | None = None
    longest: int = 10_000
    clock: Clock | None = None
    told: str = ""                        # what a model might write before what is counted
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length"))
        ask = json.loads(await reader.readexactly(length))
        self.asked.append(ask)
        if len(ask["input_ids"]) > self.longest:
            text = b'{"error": {"message": "the prompt is too long"}}'
            writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: %d\r\n\r\n" % len(text) + text)
        else:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                         + (b"transfer-encoding: chunked\r\n" if self.chunked else b"") + b"\r\n")
            await self._stream(writer, ask["sampling_params"]["max_new_tokens"])
        writer.close()

    async def _stream(self, writer: asyncio.StreamWriter, wanted: int) -> None:
        sent = events = 0
        while sent < wanted:
            if events == self.break_after:
                return
            await self._wait(self.gap_s if events else self.first_s)
            sent, events = min(wanted, sent + self.per_event), events + 1
            told = {"text": self.told, "meta_info": {"completion_tokens": sent, "cached_tokens": 2}}
            await self._send(writer, b"data: " + json.dumps(told).encode() + b"\n\n")
        await self._send(writer, b"data: [DONE]\n\n", noted=False)
        if self.chunked:
            writer.write(b"0\r\n\r\n")

    async def _wait(self, seconds: float) -> None:
        if self.clock is None:
            await asyncio.sleep(seconds)
        else:
            self.clock.now += seconds

    async def _send(self, writer: asyncio.StreamWriter, text: bytes, noted: bool = True) -> None:
        """In two pieces, as networks do; returns when the client has looked at its clock."""
        before = self.clock.readings if self.clock else 0
        for part in (text[:7], text[7:]):
            writer.write(b"%x\r\n%s\r\n" % (len(part), part) if self.chunked else part)
            await writer.drain()
        while noted and self.clock is not None and self.clock.readings == before:
            await asyncio.sleep(0)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Address]:
        server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        async with server:
            yield Address("127.0.0.1", server.sockets[0].getsockname()[1])


def in_thread(run: Callable[[Address], None], server: FakeServer) -> None:
    """`run` in this thread's stead, off the loop that serves: for clients that block."""

    async def both() -> None:
        async with server.listening() as address:
            await asyncio.to_thread(run, address)

    asyncio.run(both())
