"""As much of HTTP/1.1 as a client of streams needs: one POST over one connection, its server-sent events as they come.

No library in between: what it would spend on the client's side counts as the server's latency.
"""
import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from urllib.parse import urlsplit

from vortex.errors import EngineError

PIECE = 1 << 16
END = b"[DONE]"


@dataclass(frozen=True)
class Address:
    """Where a server listens."""

    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Address":
        """Raises EngineError for what is no http:// address."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise EngineError(f"{url} is no address", hint="For example http://127.0.0.1:30000") from None
        if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/"):
            raise EngineError(f"{url} is no address of a server", hint="For example http://127.0.0.1:30000; https is not spoken.")
        return cls(parts.hostname, port or 80)

    def __str__(self) -> str:
        return f"http://{self.host}:{self.port}"


async def events(address: Address, path: str, body: bytes) -> AsyncGenerator[bytes, None]:
    """The data of each event, up to [DONE] or the end. Raises EngineError for another status than 200, OSError, and
    asyncio.IncompleteReadError for a connection that ends in the middle."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        head = (f"POST {path} HTTP/1.1\r\nHost: {address.host}:{address.port}\r\nContent-Type: application/json\r\n"
                f"Accept: text/event-stream\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n")
        writer.write(head.encode() + body)
        await writer.drain()
        status, headers = await _head(reader)
        pieces = _pieces(reader, headers)
        if status != 200:
            said = b"".join([piece async for piece in pieces])
            raise EngineError(f"{address}{path} answers {status}: {said.decode(errors='replace').strip()[:400]}")
        async with aclosing(_lines(pieces)) as lines:
            async for line in lines:
                if line.startswith(b"data:"):
                    data = line[5:].strip()
                    if data == END:
                        return
                    yield data
    finally:
        writer.close()


async def _head(reader: asyncio.StreamReader) -> tuple[int, Mapping[str, str]]:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or not words[1].isdecimal():
        raise EngineError(f"what listens there speaks no HTTP: {first[:80]}")
    pairs = (line.partition(":") for line in lines)
    return int(words[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}


async def _pieces(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> AsyncIterator[bytes]:
    """The body as it comes: in chunks, of a known length, or to the end of the connection."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            yield (await reader.readexactly(size + 2))[:-2]
    elif "content-length" in headers:
        yield await reader.readexactly(int(headers["content-length"]))
    else:
        while piece := await reader.read(PIECE):
            yield piece


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Lines without their ends; a piece may hold several, or parts of them."""
    kept = b""
    async for piece in pieces:
        *whole, kept = (kept + piece).split(b"\n")
        for line in whole:
            yield line.rstrip(b"\r")
    if kept:
        yield kept
