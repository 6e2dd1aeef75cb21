"""Asking through the ledger: nothing is paid twice, no paid answer is lost, and no more is spent than was allowed."""
import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.caller import Caller, without_secrets, worst
from agent.models.base import Answer, Ask, Message, Stop, Text, Usage
from agent.models.prices import Price, cost
from agent.models.registry import make_model
from agent.purse import Limits, Purse
from search.store import Archive, open_archive
from search.store.ledger import Ledger
from vortex.errors import BrokenAnswer, BudgetSpent, CallError, CampaignError, Unavailable, Unpriced

ROOT = Path(__file__).parents[2]
USAGE = Usage(input=100, output=50, cache_read=800, cache_write=7)
PRICES = """[models.counted]
input = 3.0
output = 15.0
cache_read = 0.3
cache_write = 3.75
[models.free]
input = 0
output = 0
"""


class Counted:
    """A model that counts its calls, answers with its prompt, and may be told to wait or to raise."""

    def __init__(self, name: str = "counted", usage: Usage = USAGE) -> None:
        self.name, self.usage, self.calls, self.errors = name, usage, 0, list[BaseException]()
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Semaphore(0)
        self._lock = threading.Lock()

    def ask(self, ask: Ask) -> Answer:
        with self._lock:
            self.calls += 1
            error = self.errors.pop(0) if self.errors else None
        self.begun.release()
        assert self.gate.wait(10)
        if error is not None:
            raise error
        return Answer(parts=(Text(f"to {ask.digest}"),), stop=Stop.END, usage=self.usage, model=self.name, seconds=0.5)


def saying(text: str, max_tokens: int = 100) -> Ask:
    return Ask(system=(Text("The task.", cached=True),), messages=(Message("user", (Text(text),)),), max_tokens=max_tokens)


@pytest.fixture(autouse=True)
def prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prices.toml").write_text(PRICES)
    monkeypatch.setenv("VORTEX_PRICES", str(tmp_path / "prices.toml"))


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    opened = open_archive(tmp_path / "results.db")
    opened.create_campaign("one", "", {}, 0)
    yield opened
    opened.close()


@pytest.fixture
def ledger(archive: Archive) -> Ledger:
    return archive.ledger("one")


def caller(ledger: Ledger, model: Counted, limits: Limits | None = None, proposer: str = "reflective",
           purse: Purse | None = None) -> Caller:
    return Caller(model, ledger, purse or Purse(ledger=ledger, campaign=limits or Limits()), proposer)


def need_nanos(text: str = "x") -> int:
    return round(worst(saying(text), Price(3.0, 15.0, 0.3, 3.75)).dollars * 1e9)


def test_a_call_is_recorded_whole_and_given_again_without_being_made(ledger: Ledger) -> None:
    model, ask = Counted(), saying("Propose.")
    first = caller(ledger, model).ask("round 1/reflective/0", ask)
    again = caller(ledger, model).ask("round 1/reflective/0", saying("Another question under the same key."))
    assert (model.calls, again) == (1, first)
    record = ledger.find("round 1/reflective/0")
    assert record is not None and record.ask == ask.to_json() and record.answer == first.to_json()
    assert (record.input, record.output, record.cache_read, record.cache_write) == (100, 50, 800, 7)
    assert (record.model, record.proposer, record.state, record.attempt) == ("counted", "reflective", "answered", 1)
    assert record.price["cache_read"] == 0.3 and record.seconds == 0.5
    assert record.dollars == (100 * 3.0 + 50 * 15.0 + 800 * 0.3 + 7 * 3.75) / 1e6
    assert ledger.spent().tokens == USAGE.total and ledger.spent("somebody else").tokens == 0


def test_what_many_calls_say_alike_is_kept_once(archive: Archive, ledger: Ledger) -> None:
    asking, long = caller(ledger, Counted("free")), "x" * 40_000
    for turn in range(20):
        turns = tuple(Message("user", (Text(f"turn {n}"),)) for n in range(turn))
        asking.ask(f"turn {turn}", Ask(system=(Text(long),), messages=turns))
    assert [len(one.ask["messages"]) for one in ledger.calls()] == list(range(20))
    with closing(sqlite3.connect(str(archive.database.place))) as connection:
        (size,), = connection.execute("SELECT sum(length(text)) FROM texts").fetchall()
    assert size < 2 * len(long)


@pytest.mark.parametrize(("error", "state", "held"), [
    (Unavailable("overloaded"), "failed", False), (BrokenAnswer("half an answer"), "lost", True),
    (KeyboardInterrupt(), "lost", True), (ZeroDivisionError("a bug"), "lost", True),
])
def test_a_call_that_raised_is_told_apart_and_may_be_asked_again(ledger: Ledger, error: BaseException, state: str,
                                                               held: bool) -> None:
    model = Counted()
    model.errors = [error]
    with pytest.raises(type(error)):
        caller(ledger, model).ask("k", saying("x"))
    record = ledger.find("k")
    assert record is not None and record.state == state
    assert ledger.spent().in_flight_dollars == (need_nanos() / 1e9 if held else 0)
    caller(ledger, model).ask("k", saying("x"))
    assert [(one.attempt, one.state) for one in ledger.calls("k")] == [(1, state), (2, "answered")]


def test_no_key_of_the_environment_stands_in_a_record(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-12345678")
    model = Counted()
    model.errors = [Unavailable("401: sk-ant-12345678 is not a key")]
    with pytest.raises(Unavailable):
        caller(ledger, model).ask("k", saying("x"))
    record = ledger.find("k")
    assert record is not None and record.message == "401: $ANTHROPIC_API_KEY is not a key"
    assert without_secrets("none here") == "none here"


def test_a_model_without_a_price_is_refused_before_it_is_asked(ledger: Ledger) -> None:
    with pytest.raises(Unpriced, match="'dear' has no price") as refusal:
        caller(ledger, Counted("dear"))
    assert "VORTEX_PRICES" in refusal.value.hint


# budgets

@pytest.mark.parametrize(("campaign", "own", "match"), [
    (Limits(calls=2), Limits(), r"the campaign may spend 2 calls: 2 are spent, and the next call may take 1"),
    (Limits(), Limits(calls=2), r"proposer reflective may spend 2 calls: 2 are spent"),
    (Limits(tokens=2 * USAGE.total + 150), Limits(), r"the campaign may spend 2,064 tokens: 1,914 are spent"),
    (Limits(dollars=0.0035), Limits(dollars=0.01), r"the campaign may spend 0.0035 dollars: 0.00263"),
    (Limits(), Limits(minutes=1 / 60), r"proposer reflective may wait 0.0166667 minutes for answers, and did"),
])
def test_a_limit_ends_the_calls_and_leaves_the_rest_as_it_is(ledger: Ledger, campaign: Limits, own: Limits, match: str) -> None:
    model = Counted()
    asking = caller(ledger, model, purse=Purse(ledger=ledger, campaign=campaign, proposers={"reflective": own}))
    asking.ask("0", saying("x"))
    asking.ask("1", saying("x"))
    with pytest.raises(BudgetSpent, match=match) as refusal:
        asking.ask("2", saying("x"))
    assert "What was found is kept" in refusal.value.hint
    assert (model.calls, len(ledger.calls())) == (2, 2)
    assert asking.ask("1", saying("x")).usage == USAGE               # an answer that was paid is still there
    if own.calls:                                                    # another proposer's money is its own
        caller(ledger, model, proposer="one-shot", purse=asking.purse).ask("3", saying("x"))


def test_no_call_is_made_when_the_campaign_has_no_time_left(ledger: Ledger) -> None:
    model = Counted()
    with pytest.raises(BudgetSpent, match="minutes are used up"):
        caller(ledger, model, purse=Purse(ledger=ledger, left_s=lambda: 0.0)).ask("k", saying("x"))
    assert model.calls == 0 and not ledger.calls()


def test_money_in_flight_is_held_and_waited_for(ledger: Ledger) -> None:
    """Two calls at their worst do not fit, as they come out they do: the second waits for the first, and no third is made."""
    model, most = Counted(), need_nanos()
    left = round(cost(USAGE, Price(3.0, 15.0, 0.3, 3.75)) * 1e9)
    purse = Purse(ledger=ledger, campaign=Limits(dollars=(most + left + 10) / 1e9))
    asking = caller(ledger, model, purse=purse)
    model.gate.clear()
    threads = [threading.Thread(target=asking.ask, args=(key, saying("x"))) for key in ("a", "b")]
    for thread in threads:
        thread.start()
    assert model.begun.acquire(timeout=10)
    assert not model.begun.acquire(timeout=0.3) and ledger.spent().in_flight_nanos == most
    model.gate.set()
    for thread in threads:
        thread.join(10)
    assert model.calls == 2 and ledger.spent().in_flight == 0
    with pytest.raises(BudgetSpent):
        asking.ask("c", saying("x"))


def test_many_threads_ask_at_once_and_the_sums_are_exact(ledger: Ledger) -> None:
    model = Counted(usage=Usage(input=1, output=1, cache_read=1, cache_write=1))
    model.errors = [Unavailable("later")] * 40
    purse = Purse(ledger=ledger, campaign=Limits(calls=200))
    asking = [caller(ledger, model, proposer=name, purse=purse) for name in ("a", "b")]

    def work(number: int) -> None:
        for key in range(60):                                        # every key is asked by two threads
            with suppress(CallError):
                asking[key % 2].ask(f"{number // 2}/{key}", saying("x"))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    spent = ledger.spent()
    assert spent.calls == 200 and spent.tokens == 800 and spent.in_flight == spent.lost == 0
    assert spent.nanos == 200 * 22_050 == ledger.spent("a").nanos + ledger.spent("b").nanos
    assert model.calls == 240 == len(ledger.calls())


@given(st.lists(st.integers(0, 4 * 10**6), max_size=50))
def test_sums_of_money_are_exact_to_the_token(counts: list[int]) -> None:
    """At any price of whole nano-dollars a token, what calls cost adds up as their tokens do."""
    price = Price(0.075, 15.0, 0.3, 3.75)
    assert sum(round(cost(Usage(input=n, output=n), price) * 1e9) for n in counts) == sum(15_075 * n for n in counts)


@given(st.text(max_size=300))
def test_a_reservation_covers_a_token_for_two_bytes(text: str) -> None:
    assert worst(saying(text), Price(1.0, 0.0, 0.0, 0.0)).tokens >= len(text.encode()) // 2 + 100


# kills

PROGRAM = """
import sys
from agent.caller import Caller
from agent.models.base import Answer, Ask, Message, Stop, Text, Usage
from agent.purse import Limits, Purse
from search.store import open_archive

class Slow:
    name = "counted"
    def ask(self, ask):
        print("paid", flush=True)
        if sys.argv[2] == "asking":
            sys.stdin.read()
        return Answer(parts=(Text("paid for"),), stop=Stop.END, usage=Usage(input=5, output=6), model="counted")

ledger = open_archive(sys.argv[1]).ledger("one")
asking = Caller(Slow(), ledger, Purse(ledger=ledger), "reflective")
asking.ask("k", Ask(system=(), messages=(Message("user", (Text("x"),)),), max_tokens=100))
print("answered", flush=True)
sys.stdin.read()
"""


def killed(archive: Archive, when: str) -> None:
    """A process that asks under `k` and is killed while it asks, or as soon as it has the answer."""
    command = [sys.executable, "-c", PROGRAM, str(archive.database.place), when]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "paid\n"
        if when == "answered":
            assert process.stdout.readline() == "answered\n"
        process.send_signal(signal.SIGKILL)


def test_killed_right_after_the_answer_it_is_replayed_and_not_paid_again(archive: Archive, ledger: Ledger) -> None:
    killed(archive, "answered")
    model = Counted()
    assert caller(ledger, model).ask("k", saying("x")).text == "paid for"
    assert model.calls == 0 and ledger.spent().tokens == 11


def test_killed_between_reserving_and_the_answer_the_money_stays_counted_and_the_key_is_asked_again(
        archive: Archive, ledger: Ledger) -> None:
    killed(archive, "asking")
    held = ledger.spent().in_flight_nanos
    assert held > 0
    model = Counted()
    caller(ledger, model).ask("k", saying("x"))
    first, second = ledger.calls("k")
    assert (first.state, first.attempt, second.state, second.attempt) == ("lost", 1, "answered", 2)
    assert "ended" in first.message and model.calls == 1
    assert (ledger.spent().lost_nanos, ledger.spent().in_flight_nanos) == (held, 0)
    assert ledger.settle(first.id, 0.25).dollars == 0.25
    assert ledger.spent().lost_nanos == 0 and ledger.spent().nanos == 250_000_000 + round(second.dollars * 1e9)
    with pytest.raises(CampaignError, match="is not lost: it is answered"):
        ledger.settle(second.id, 0.0)


def test_money_of_a_lost_call_may_end_the_budget(archive: Archive, ledger: Ledger) -> None:
    killed(archive, "asking")
    with pytest.raises(BudgetSpent, match="1 are spent"):
        caller(ledger, Counted(), Limits(calls=1)).ask("other", saying("x"))
    assert [one.state for one in ledger.calls()] == ["reserved"]     # a refusal changes nothing


def test_a_key_that_another_living_process_asks_is_refused(archive: Archive, ledger: Ledger) -> None:
    command = [sys.executable, "-c", PROGRAM, str(archive.database.place), "asking"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None and process.stdout.readline() == "paid\n"
        with pytest.raises(CampaignError, match="is being asked by"):
            caller(ledger, Counted()).ask("k", saying("x"))
        process.communicate("")
    assert caller(ledger, Counted()).ask("k", saying("x")).text == "paid for"


def test_a_script_goes_on_where_it_stood_after_a_restart(ledger: Ledger, tmp_path: Path) -> None:
    script = tmp_path / "answers.jsonl"
    script.write_text("".join(json.dumps({"text": f"answer {n}"}) + "\n" for n in range(3)))

    def asked(key: str) -> str:
        model = make_model(f"scripted:{script}")
        return Caller(model, ledger, Purse(ledger=ledger), "reflective").ask(key, saying("x")).text

    assert [asked(key) for key in ("a", "b", "a", "c")] == ["answer 0", "answer 1", "answer 0", "answer 2"]


def test_recording_a_call_takes_little_time(ledger: Ledger) -> None:
    asking, start = caller(ledger, Counted("free")), time.monotonic()
    for number in range(50):
        asking.ask(str(number), saying("x" * 45_000))
    assert (time.monotonic() - start) / 50 < 0.05


def test_half_a_surrogate_pair_neither_loses_an_answer_nor_stops_the_next_call(ledger: Ledger) -> None:
    class Odd(Counted):
        def ask(self, ask: Ask) -> Answer:
            super().ask(ask)
            return Answer(parts=(Text("half \ud83d"),), stop=Stop.END, usage=USAGE, model=self.name)

    asking = caller(ledger, Odd())
    first = asking.ask("a", saying("x"))
    assert first.text == "half \ud83d" == asking.ask("a", saying("x")).text
    assert asking.ask("b", saying(first.text)).text == first.text
