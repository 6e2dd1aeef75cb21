"""Many calls through the ledger to a provider that fails a fifth of them; what must hold afterwards."""
import random
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from agent.caller import Caller
from agent.models.base import Answer, Usage
from agent.models.pace import Pace
from agent.models.prices import cost, price
from agent.purse import Purse
from search.store import open_archive
from search.store.ledger import Ledger
from tests.models.asking import ask, connect
from tests.models.loopback import TRANSIENT, Loopback, echo, serve

KINDS = ("input", "output", "cache_read", "cache_write")
PRICES = """[models]
"openai:local" = { input = 1, output = 2, cache_read = 0.1, cache_write = 1.25 }
"""


def storm(name: str, calls: int, share: float, database: Path, capacity: int = 1_000_000) -> dict[str, object]:
    """Makes the calls and asserts that each answer is there once and the ledger is exact; the figures of the run."""
    drawn = random.Random(name)
    faults = [drawn.choice(TRANSIENT) if drawn.random() < share else "" for _ in range(10 * calls)]
    words = [f"call {n}" for n in range(calls)]
    archive = open_archive(database)
    archive.create_campaign("storm", "", {}, 0)
    ledger = archive.ledger("storm")
    start = time.perf_counter()
    with serve(Loopback(fault=faults.__getitem__, drip_s=0.001, capacity=capacity)) as loopback:
        caller = Caller(connect(name, loopback), ledger, Purse(ledger=ledger), "reflective")
        pace = Pace(start=4, most=16, pause_s=0.01)
        answers = pace.run([partial(caller.ask, said, ask(said)) for said in words])
        seconds = time.perf_counter() - start
        requests = len(loopback.requests)
        assert pace.run([partial(caller.ask, said, ask("another question")) for said in words]) == answers
        assert len(loopback.requests) == requests, "a recorded answer was asked for again"
    exact(name, words, answers, loopback, ledger)
    archive.close()
    refused = {fault: n for fault, n in sorted(loopback.faults.items()) if fault}
    return {"calls": calls, "requests": requests, "faults": refused, "seconds": round(seconds, 2), "peak": pace.peak,
            "halvings": pace.halvings, "limit_at_the_end": round(pace.limit, 1), "answers": len(answers),
            "tokens": sum(usage.total for _, usage in loopback.delivered), "ledger_tokens": ledger.spent().tokens,
            "lost": len([record for record in ledger.calls() if record.state == "lost"])}


def exact(name: str, words: Sequence[str], answers: Sequence[Answer], loopback: Loopback, ledger: Ledger) -> None:
    """Every answer once, in order; every count, and all money, to the token."""
    assert [answer.text for answer in answers] == [f"You said: {said}" for said in words]
    assert [answer.usage for answer in answers] == [echo(said, {}).usage for said in words]
    assert Counter(said for said, _ in loopback.delivered) == dict.fromkeys(words, 1)
    answered = [record for record in ledger.calls() if record.state == "answered"]
    assert sorted(record.key for record in answered) == sorted(words)
    for record in answered:
        usage = Usage(**{kind: getattr(record, kind) for kind in KINDS})
        assert usage == echo(record.key, {}).usage and record.dollars == round(cost(usage, price(name)), 9)
    assert ledger.spent().tokens == sum(usage.total for _, usage in loopback.delivered)
    assert ledger.spent().in_flight == 0
    broken = sum(loopback.faults[fault] for fault in ("cut", "malformed", "truncated", "event"))
    assert ledger.spent().lost == broken, "an answer that broke off may have been charged"
