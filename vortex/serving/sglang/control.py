"""How others speak to running schedulers: one JSON request, one JSON answer from every rank. Nothing here knows SGLang.

The first rank of each replica (data parallel group) listens on loopback and leaves its address, with a token that callers
must show, in `Settings.folder`. Requests, by "do":

    use          graph (Graph JSON or null: dense), point        another flow; what is in flight is retracted and goes on
    record       what: selections | qkv | mass                   decode steps are logged from now on
    stop-record  path                                            the log's events, torch.save at PATH.RANK
    counters                                                     what decode steps did so far
    audit        on                                              every decode step compares summaries with the pages
    step-times   on                                              seconds of each decode step with its batch size
    wipe, rebuild, flush, health                                 summaries to NaN; anew from pages; the prefix cache; counts
"""
import json
import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vortex import errors
from vortex.errors import EngineError, VortexError

Answer = dict[str, Any]
HOST = "127.0.0.1"
PATTERN = "control-*.json"
HINT = "The server is still starting, or has ended."


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where one replica's schedulers are asked."""

    port: int
    pid: int = field(default_factory=os.getpid)
    token: str = field(default_factory=lambda: secrets.token_hex(16))

    def leave(self, folder: Path, replica: int) -> None:
        """Readable by its owner alone: whoever has the token may change what is served."""
        path = folder / PATTERN.replace("*", str(replica))
        draft = path.with_suffix(f".{self.pid}")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(asdict(self)))
        draft.replace(path)


def addresses(folder: Path) -> list[Address]:
    """By replica."""
    paths = sorted(folder.glob(PATTERN), key=lambda path: int(path.stem.rpartition("-")[2]))
    return [Address(**json.loads(path.read_text())) for path in paths]


class Control:
    """Asks the schedulers of the server whose `Settings.folder` this is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ask(self, request: Mapping[str, Any], timeout_s: float = 120.0) -> list[Answer]:
        """One answer a rank, replicas in order. Raises EngineError where nobody answers, else what the first rank refused."""
        found = addresses(self._folder)
        if not found:
            raise EngineError(f"no server has left its address in {self._folder}", hint=HINT)
        answers = [answer for address in found for answer in self._asked(address, request, timeout_s)]
        for answer in answers:
            if not answer["ok"]:
                raise refusal(answer["error"])
        return answers

    def _asked(self, address: Address, request: Mapping[str, Any], timeout_s: float) -> list[Answer]:
        line = json.dumps({"token": address.token, "request": dict(request), "timeout_s": timeout_s}) + "\n"
        try:
            # The other side keeps to the limit as well, and says more.
            with socket.create_connection((HOST, address.port), timeout=timeout_s + 5.0) as connection:
                connection.sendall(line.encode())
                with connection.makefile("r") as replies:
                    reply = replies.readline()
        except OSError as error:
            raise EngineError(f"the server does not answer on port {address.port}: {error}", hint=HINT) from error
        if not reply:
            raise EngineError("the server ended while it was asked")
        answers: list[Answer] = json.loads(reply)
        return answers


def refusal(body: Mapping[str, Any]) -> VortexError:
    """What VortexError.to_json told, as an error of the same class; of one that is not known here an EngineError."""
    found = getattr(errors, str(body.get("code")), EngineError)
    kind = found if isinstance(found, type) and issubclass(found, VortexError) else EngineError
    return kind(str(body.get("message", "")), hint=str(body.get("hint", "")))


def write_answer(folder: Path, rank: int, answer: Answer) -> None:
    """At once: who waits for the file never sees half of it."""
    draft = folder / f".{rank}.json"
    draft.write_text(json.dumps(answer))
    draft.replace(folder / f"{rank}.json")


def read_answers(folder: Path, ranks: Sequence[int]) -> list[Answer] | None:
    """None while one is missing."""
    paths = [folder / f"{rank}.json" for rank in ranks]
    return [json.loads(path.read_text()) for path in paths] if all(path.exists() for path in paths) else None
