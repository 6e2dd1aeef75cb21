"""A provider on the loopback: speaks the real protocols with streaming, batches, and every fault that was asked for."""
import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from agent.models.base import Text, Usage
from tests.models.protocols import STREAMS, Reply, anthropic_message, last_words, responses_body

STATUS = {"429": (429, "rate_limit_error", "slow down"), "500": (500, "api_error", "something broke"),
          "529": (529, "overloaded_error", "overloaded"), "401": (401, "authentication_error", "invalid key"),
          "403": (403, "permission_error", "not yours"), "404": (404, "not_found_error", "no such model"),
          "400": (400, "invalid_request_error", "max_tokens is too large; you said {key}"),
          "quota": (429, "insufficient_quota", "you exceeded your current quota")}
TRANSIENT = ("429", "500", "529", "drop", "cut", "malformed", "truncated", "event", "drip")


def echo(words: str, body: Mapping[str, Any]) -> Reply:
    """Repeats the words; every count of tokens follows from them, so that a ledger can be held to it."""
    n = sum(words.encode()) % 97
    return Reply(parts=(Text(f"You said: {words}"),),
                 usage=Usage(input=50 + n, output=20 + n % 13, cache_read=1000 + n, cache_write=n % 7))


@dataclass
class Loopback:
    """`answer` gives the reply to the last words of a request; `fault` the fault of the n-th request, or "".

    `delivered` holds what was answered to the end, in order; `capacity`: requests beyond it are refused as overloaded.
    """

    answer: Callable[[str, Mapping[str, Any]], Reply] = echo
    fault: Callable[[int], str] = lambda n: ""
    capacity: int = 1_000_000
    work_s: float = 0.0
    drip_s: float = 0.01
    retry_after: str = "0.02"
    polls: int = 1                        # looks at a batch before it is done
    requests: list[tuple[str, Mapping[str, str], Any]] = field(default_factory=list)
    delivered: list[tuple[str, Usage]] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    batches: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    looked: Counter[str] = field(default_factory=Counter)
    inside: int = 0
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def serve(loopback: Loopback) -> Iterator[Loopback]:
    """Runs the server until the block ends."""
    server = Quiet(("127.0.0.1", 0), type("Served", (Handler,), {"loopback": loopback}))
    loopback.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield loopback
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Quiet(ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the play."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    loopback: Loopback
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *words: object) -> None:
        pass

    def do_GET(self) -> None:
        words = self.path.strip("/").split("/")
        match words[1:]:
            case ["messages", "batches", batch]:
                self.say(anthropic_batch(self.loopback, batch))
            case ["messages", "batches", batch, "results"]:
                self.lines([anthropic_row(self.loopback, row, n) for n, row in enumerate(self.loopback.batches[batch])])
            case ["batches", batch]:
                self.say(openai_batch(self.loopback, batch))
            case ["files", name, "content"]:
                rows = self.loopback.batches[name.removesuffix("-out")]
                self.lines([openai_row(self.loopback, row, n) for n, row in enumerate(rows)])

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        loopback = self.loopback
        if self.path == "/v1/files":
            loopback.files["file-1"] = "\n".join(line for line in raw.decode().splitlines() if line.startswith("{"))
            return self.say({"id": "file-1", "object": "file", "bytes": 1, "created_at": 0, "filename": "asks.jsonl",
                             "purpose": "batch", "status": "processed"})
        body = json.loads(raw)
        if self.path == "/v1/messages/batches":
            loopback.batches["batch-1"] = body["requests"]
            return self.say(anthropic_batch(loopback, "batch-1"))
        if self.path == "/v1/batches":
            loopback.batches["batch-1"] = [json.loads(line) for line in loopback.files[body["input_file_id"]].splitlines()]
            return self.say(openai_batch(loopback, "batch-1"))
        with loopback.lock:
            number = len(loopback.requests)
            loopback.requests.append((self.path, dict(self.headers), body))
            loopback.inside += 1
            fault = "529" if loopback.inside > loopback.capacity else loopback.fault(number)
            loopback.faults[fault] += 1
        try:
            time.sleep(loopback.work_s)
            self.reply(fault, number, body)
        finally:
            with loopback.lock:
                loopback.inside -= 1
        return None

    def reply(self, fault: str, number: int, body: Mapping[str, Any]) -> None:
        if fault in STATUS:
            status, kind, message = STATUS[fault]
            message = message.replace("{key}", self.headers.get("authorization", ""))
            later = {"retry-after": self.loopback.retry_after} if fault in ("429", "529") else {}
            return self.say({"type": "error", "error": {"type": kind, "code": kind, "message": message}}, status, later)
        if fault == "page":
            return self.whole(b"<html>Sign in to this network</html>", 200, {"content-type": "text/html"})
        if fault == "drop":
            return self.hang_up()
        said = last_words(self.path, body)
        reply = self.loopback.answer(said, body)
        events = [wire(name, event) for name, event in STREAMS[self.path](reply, body["model"], number)]
        self.send_response(200)
        for name, value in {"content-type": "text/event-stream", "transfer-encoding": "chunked", "request-id": f"req-{number}",
                            "x-request-id": f"req-{number}"}.items():
            self.send_header(name, value)
        self.end_headers()
        half = len(events) // 2
        if fault == "malformed":
            events[half] = events[half].replace(b'{"', b'{{"', 1)
        if fault in ("cut", "truncated", "event"):
            events = events[:half]
        if fault == "event":
            events.append(error_event(self.path))
        for event in events:
            self.chunk(event)
            if fault == "drip":
                time.sleep(self.loopback.drip_s)
        if fault == "cut":
            return self.hang_up()
        if fault in ("", "drip"):
            with self.loopback.lock:
                self.loopback.delivered.append((said, reply.usage))
        return self.chunk(b"")

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def say(self, body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.whole(json.dumps(body).encode(), status, headers or {})

    def lines(self, rows: list[Any]) -> None:
        """Rows out of order, as the providers may give them."""
        self.whole("\n".join(json.dumps(row) for row in reversed(rows)).encode(), 200, {})

    def whole(self, data: bytes, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


def wire(name: str, event: Any) -> bytes:
    text = event if isinstance(event, str) else json.dumps(event)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


def error_event(path: str) -> bytes:
    if path == "/v1/messages":
        return wire("error", {"type": "error", "error": {"type": "overloaded_error", "message": "overloaded"}})
    if path == "/v1/responses":
        return wire("error", {"type": "error", "code": "server_error", "message": "broke", "param": None, "sequence_number": 9})
    return wire("", {"error": {"type": "server_error", "message": "broke", "code": "server_error"}})


def done(loopback: Loopback, batch: str) -> bool:
    loopback.looked[batch] += 1
    return loopback.looked[batch] > loopback.polls + 1           # the first look is the one that made it


def anthropic_batch(loopback: Loopback, batch: str) -> dict[str, Any]:
    ended = done(loopback, batch)
    at = "2026-01-01T00:00:00Z"
    return {"id": batch, "type": "message_batch", "processing_status": "ended" if ended else "in_progress", "created_at": at,
            "expires_at": at, "ended_at": at if ended else None, "archived_at": None, "cancel_initiated_at": None,
            "request_counts": {"processing": 0, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0},
            "results_url": f"{loopback.url}/v1/messages/batches/{batch}/results" if ended else None}


def anthropic_row(loopback: Loopback, row: Mapping[str, Any], number: int) -> dict[str, Any]:
    body = row["params"]
    words = last_words("/v1/messages", body)
    if "fail" in words:
        error = {"type": "invalid_request_error", "message": "no"}
        return {"custom_id": row["custom_id"], "result": {"type": "errored", "error": {"type": "error", "error": error}}}
    message = anthropic_message(loopback.answer(words, body), body["model"], number)
    return {"custom_id": row["custom_id"], "result": {"type": "succeeded", "message": message}}


def openai_batch(loopback: Loopback, batch: str) -> dict[str, Any]:
    ended = done(loopback, batch)
    return {"id": batch, "object": "batch", "endpoint": "/v1/responses", "completion_window": "24h", "created_at": 0,
            "input_file_id": "file-1", "status": "completed" if ended else "in_progress",
            "output_file_id": f"{batch}-out" if ended else None, "error_file_id": None}


def openai_row(loopback: Loopback, row: Mapping[str, Any], number: int) -> dict[str, Any]:
    words = last_words("/v1/responses", row["body"])
    if "fail" in words:
        error = {"code": "invalid_prompt", "message": "no"}
        return {"custom_id": row["custom_id"], "response": {"status_code": 400, "body": {"error": error}}, "error": None}
    body = responses_body(loopback.answer(words, row["body"]), row["body"]["model"], number)
    response = {"status_code": 200, "request_id": f"req-{number}", "body": body}
    return {"custom_id": row["custom_id"], "response": response, "error": None}
