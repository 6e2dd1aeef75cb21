"""Hundreds of calls with a fifth of faults through the real SDKs: every answer once, counts to the token."""
import random
from collections import Counter
from functools import partial

import pytest

from agent.models.base import Usage
from agent.models.pace import Pace
from tests.models.asking import NAMES, ask, connect
from tests.models.loopback import TRANSIENT, Loopback, echo, serve

CALLS = 80


@pytest.mark.parametrize("name", NAMES)
def test_every_answer_arrives_once_whatever_breaks(name: str) -> None:
    drawn = random.Random(name)
    faults = [drawn.choice(TRANSIENT) if drawn.random() < 0.2 else "" for _ in range(10 * CALLS)]
    words = [f"call {n}" for n in range(CALLS)]
    with serve(Loopback(fault=faults.__getitem__, drip_s=0.001)) as loopback:
        model = connect(name, loopback)
        pace = Pace(start=4, most=16, pause_s=0.01)
        answers = pace.run([partial(model.ask, ask(said)) for said in words])
    assert [answer.text for answer in answers] == [f"You said: {said}" for said in words]
    assert Counter(said for said, _ in loopback.delivered) == dict.fromkeys(words, 1)
    assert total(answer.usage for answer in answers) == total(usage for _, usage in loopback.delivered)
    assert [answer.usage for answer in answers] == [echo(said, {}).usage for said in words]
    assert sum(n for fault, n in loopback.faults.items() if fault) >= 0.1 * CALLS


@pytest.mark.parametrize("name", NAMES)
def test_the_pace_follows_what_the_provider_bears(name: str) -> None:
    with serve(Loopback(capacity=4, work_s=0.02)) as loopback:
        model = connect(name, loopback, max_retries=8)
        pace = Pace(start=16, most=16, pause_s=0.01)
        answers = pace.run([partial(model.ask, ask(f"call {n}")) for n in range(60)])
    assert len(answers) == len(loopback.delivered) == 60
    assert pace.peak == 16 and pace.halvings >= 1 and pace.limit <= 10


def total(usages: object) -> Counter[str]:
    counts: Counter[str] = Counter()
    for usage in usages:  # type: ignore[attr-defined]
        assert isinstance(usage, Usage)
        counts.update(vars(usage))
    return counts
