"""How many calls run at once, and what ends them."""
import threading
import time
from collections.abc import Callable

import pytest

from agent.models.base import Answer, Stop, Text, Usage
from agent.models.pace import Pace
from vortex.errors import BrokenAnswer, KeyRefused, Unavailable


def answer(text: str, overloads: int = 0) -> Answer:
    return Answer(parts=(Text(text),), stop=Stop.END, usage=Usage(), model="m", overloads=overloads)


class Provider:
    """Answers at most `capacity` calls at once; tells the others to come back."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.inside, self.refused, self.lock = capacity, 0, 0, threading.Lock()

    def call(self, text: str) -> Callable[[], Answer]:
        def made() -> Answer:
            with self.lock:
                self.inside += 1
                over = self.inside > self.capacity
                self.refused += over
            time.sleep(0.002)
            with self.lock:
                self.inside -= 1
            return answer(text, int(over))
        return made


def test_answers_come_in_the_order_of_the_calls() -> None:
    def late(n: int) -> Callable[[], Answer]:
        def made() -> Answer:
            time.sleep(0.02 * (n % 3 == 0))
            return answer(str(n))
        return made

    assert [a.text for a in Pace().run([late(n) for n in range(30)])] == [str(n) for n in range(30)]
    assert Pace().run([]) == ()


def test_the_pace_grows_while_calls_are_answered() -> None:
    pace = Pace(start=2, most=16)
    pace.run([Provider(100).call(str(n)) for n in range(200)])
    assert pace.limit == 16 and pace.peak == 16 and pace.halvings == 0


def test_the_pace_settles_at_what_the_provider_bears() -> None:
    pace, provider = Pace(start=32, most=32), Provider(6)
    pace.run([provider.call(str(n)) for n in range(400)])
    assert pace.halvings >= 2 and 2 <= pace.limit <= 12
    assert provider.refused < 120


def test_a_burst_of_refusals_halves_once() -> None:
    pace = Pace(start=8, most=8)
    gate = threading.Barrier(8)

    def made() -> Answer:
        gate.wait(5)
        return answer("x", overloads=1)

    pace.run([made] * 8)
    assert pace.limit == 4 and pace.halvings == 1


@pytest.mark.parametrize("error", [Unavailable("down"), BrokenAnswer("garbled")])
def test_a_call_that_failed_is_made_again(error: Exception) -> None:
    tries = iter([error, error, answer("at last")])

    def made() -> Answer:
        found = next(tries)
        if isinstance(found, Exception):
            raise found
        return found

    assert Pace(pause_s=0.001).run([made])[0].text == "at last"


def test_identical_failures_in_a_row_end_the_run() -> None:
    made = []

    def down() -> Answer:
        made.append(1)
        raise Unavailable("overloaded", hint="later")

    with pytest.raises(Unavailable, match="5 calls in a row failed alike: overloaded") as caught:
        Pace(start=1, most=1, pause_s=0.001).run([down] * 20)
    assert len(made) == 5 and caught.value.hint == "later"


def test_a_burst_that_fails_alike_is_one_failure() -> None:
    gate = threading.Barrier(8)
    lock = threading.Lock()
    tries: dict[int, int] = {}

    def call(n: int) -> Callable[[], Answer]:
        def made() -> Answer:
            with lock:
                tries[n] = tries.get(n, 0) + 1
            if tries[n] == 1:
                gate.wait(5)
                raise Unavailable("overloaded")
            return answer(str(n))
        return made

    assert len(Pace(start=8, most=8, pause_s=0.001).run([call(n) for n in range(8)])) == 8


def test_failures_that_differ_are_not_a_row() -> None:
    said = iter(range(100))

    def down() -> Answer:
        raise Unavailable(f"trouble {next(said)}")

    with pytest.raises(Unavailable, match="trouble 5"):
        Pace(start=1, most=1, pause_s=0.0001).run([down])


def test_a_refusal_that_stays_ends_the_run_after_what_is_in_flight() -> None:
    finished = []

    def slow() -> Answer:
        time.sleep(0.05)
        finished.append(1)
        return answer("paid for")

    def refused() -> Answer:
        raise KeyRefused("no")

    with pytest.raises(KeyRefused, match="no"):
        Pace(start=3, most=3).run([slow, refused, slow, slow, slow, slow])
    assert 2 <= len(finished) < 5
