"""Asking over loopback: requests reach the queue in order, answers of all ranks come back, and nothing hangs."""
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from vortex.errors import BudgetError, EngineError
from vortex.serving.sglang.control import HOST, Control, addresses, write_answer
from vortex.serving.sglang.desk import Desk

Scheduler = Callable[[int, Any], dict[str, Any]]          # (rank, request) -> answer


def echo(rank: int, request: Any) -> dict[str, Any]:
    return {"ok": True, "rank": rank, "heard": request}


@contextmanager
def scheduling(folder: Path, does: Scheduler, replica: int = 0, ranks: int = 2) -> Iterator[Desk]:
    """A desk, and a thread that takes errands as a scheduler would."""
    desk, over = Desk(folder, replica, range(ranks)), threading.Event()

    def loop() -> None:
        while not over.is_set():
            for errand in desk.taken():
                for rank in reversed(range(ranks)):
                    write_answer(Path(errand.folder), rank, does(rank, json.loads(errand.request)))
            time.sleep(0.001)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield desk
    finally:
        over.set()
        thread.join()
        desk.close()


def test_every_rank_answers_in_the_order_of_ranks(tmp_path: Path) -> None:
    with scheduling(tmp_path, echo, ranks=3):
        answers = Control(tmp_path).ask({"do": "health", "why": "ä" * 100_000})
    assert [answer["rank"] for answer in answers] == [0, 1, 2]
    assert answers[2]["heard"] == {"do": "health", "why": "ä" * 100_000}
    assert not list(tmp_path.glob("answers-*"))


def test_replicas_are_asked_one_after_the_other(tmp_path: Path) -> None:
    with scheduling(tmp_path, echo, replica=10, ranks=1), scheduling(tmp_path, echo, replica=2, ranks=2):
        assert [answer["rank"] for answer in Control(tmp_path).ask({"do": "x"})] == [0, 1, 0]


def test_several_ask_at_once(tmp_path: Path) -> None:
    heard: list[int] = []
    with scheduling(tmp_path, echo, ranks=1):
        threads = [threading.Thread(target=lambda n=n: heard.append(Control(tmp_path).ask({"n": n})[0]["heard"]["n"]))
                   for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(heard) == list(range(8))


def test_what_one_rank_refuses_is_raised_as_the_error_that_it_was(tmp_path: Path) -> None:
    def refuse(rank: int, request: Any) -> dict[str, Any]:
        error = BudgetError("too many blocks", hint="Take fewer.").to_json()
        return {"ok": False, "rank": rank, "error": dict(error)} if rank else echo(rank, request)

    with scheduling(tmp_path, refuse), pytest.raises(BudgetError, match="too many blocks") as refused:
        Control(tmp_path).ask({"do": "use"})
    assert refused.value.hint == "Take fewer."


def test_only_the_owner_may_read_the_token(tmp_path: Path) -> None:
    with scheduling(tmp_path, echo):
        path = tmp_path / "control-0.json"
        assert path.stat().st_mode & 0o777 == 0o600
        assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("line", [
    b"hello\n", b"[]\n", b"{}\n", b'{"token": 1, "request": {}, "timeout_s": "soon"}\n', b"\xff\xfe\n",
    b'{"token": "0123", "request": {"do": "wipe"}, "timeout_s": 1}\n',
])
def test_who_does_not_know_the_token_or_the_form_is_refused_and_nothing_is_done(tmp_path: Path, line: bytes) -> None:
    done: list[Any] = []
    with scheduling(tmp_path, lambda rank, request: done.append(request) or echo(rank, request)) as desk:
        with socket.create_connection((HOST, desk.address.port), timeout=10) as connection:
            connection.sendall(line)
            reply = json.loads(connection.makefile().readline())
        assert [answer["ok"] for answer in reply] == [False] and reply[0]["error"]["code"] == "EngineError"
        assert Control(tmp_path).ask({"do": "health"})
    assert done == [{"do": "health"}] * 2


def test_a_scheduler_that_does_not_come_back_is_waited_for_no_longer_than_asked(tmp_path: Path) -> None:
    desk = Desk(tmp_path, 0, range(1))
    with pytest.raises(EngineError, match=r"did not answer within 0\.05 s"):
        Control(tmp_path).ask({"do": "health"}, timeout_s=0.05)
    desk.close()


def test_no_address_and_nobody_at_the_address_are_said(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no server has left its address"):
        Control(tmp_path).ask({"do": "health"})
    desk = Desk(tmp_path, 0, range(1))
    desk.close()
    with pytest.raises(EngineError, match=f"does not answer on port {addresses(tmp_path)[0].port}"):
        Control(tmp_path).ask({"do": "health"})


def test_a_bell_that_is_heard_after_its_errand_falls_silent(tmp_path: Path) -> None:
    desk = Desk(tmp_path, 0, [0])
    desk._ring()                          # its errand was taken already
    assert desk.taken() == []
    with pytest.raises(BlockingIOError):
        desk.bell.recv(1)
    desk.close()


def test_the_bell_rings_while_something_waits_and_is_silent_after(tmp_path: Path) -> None:
    desk = Desk(tmp_path, 0, range(1))
    with pytest.raises(EngineError):
        Control(tmp_path).ask({"do": "health"}, timeout_s=0.01)
    assert desk.bell.recv(1, socket.MSG_PEEK) == b"!"
    assert len(desk.taken()) == 1 and desk.taken() == []
    with pytest.raises(BlockingIOError):
        desk.bell.recv(1)
    desk.close()
