"""How many calls run at once: more while they are answered, half as many when the provider is overloaded or breaks off."""
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from agent.models.base import Answer
from vortex.errors import BrokenAnswer, CallError, Unavailable

AGAIN = (Unavailable, BrokenAnswer)       # a further try may be answered; other refusals stay what they are


@dataclass
class Slot:
    """A call that waits or runs; `since` is the number of halvings when it started."""

    place: int
    call: Callable[[], Answer]
    tries: int = 0
    since: int = 0


@dataclass
class Pace:
    """Additive increase, multiplicative decrease, kept from run to run.

    `identical`: so many failures in a row that say the same end a run, each of a call that was started after the pace gave way
    to the one before; `tries`: how often one call is made at most.
    """

    start: float = 4.0
    most: int = 32
    identical: int = 5
    tries: int = 6
    pause_s: float = 1.0                  # before a call is made again, doubled with each further try
    limit: float = field(init=False)
    peak: int = field(init=False, default=0)
    halvings: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.limit = min(self.start, float(self.most))
        self._same: tuple[str, int] = ("", 0)

    def run(self, calls: Sequence[Callable[[], Answer]]) -> tuple[Answer, ...]:
        """The answers, in the order of the calls. After a failure that stays, nothing new is started, what runs is awaited,
        and the failure is raised: a CallError."""
        waiting = deque(Slot(place, call) for place, call in enumerate(calls))
        answers: dict[int, Answer] = {}
        running: dict[Future[Answer], Slot] = {}
        failure: BaseException | None = None
        with ThreadPoolExecutor(max_workers=self.most) as pool:
            while running or (waiting and failure is None):
                while waiting and failure is None and len(running) < max(1, int(self.limit)):
                    slot = waiting.popleft()
                    slot.since = self.halvings
                    running[pool.submit(self._make, slot)] = slot
                self.peak = max(self.peak, len(running))
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    slot = running.pop(future)
                    error = future.exception()
                    if error is None:
                        answers[slot.place] = self._answered(slot, future.result())
                    elif (stays := self._failed(slot, error)) is None:
                        waiting.appendleft(slot)
                    else:
                        failure = failure or stays
        if failure is not None:
            raise failure
        return tuple(answers[place] for place in range(len(calls)))

    def _make(self, slot: Slot) -> Answer:
        if slot.tries:
            time.sleep(self.pause_s * 2 ** (slot.tries - 1))
        slot.tries += 1
        return slot.call()

    def _answered(self, slot: Slot, answer: Answer) -> Answer:
        self._same = ("", 0)
        if answer.overloads:
            self._halve(slot)
        else:
            self.limit = min(float(self.most), self.limit + 1 / self.limit)
        return answer

    def _halve(self, slot: Slot) -> None:
        """Once for all calls that were started at the pace that was too much."""
        if slot.since == self.halvings:
            self.limit = max(1.0, self.limit / 2)
            self.halvings += 1

    def _failed(self, slot: Slot, error: BaseException) -> BaseException | None:
        """What ends the run, if this does."""
        if not isinstance(error, AGAIN):
            return error
        if slot.since == self.halvings:          # of a burst that was too much at once, the first speaks for all
            said = f"{error.code}: {error.message}"
            self._same = (said, self._same[1] + 1 if self._same[0] == said else 1)
        self._halve(slot)
        if self._same[1] >= self.identical:
            return self._alike(error)
        return error if slot.tries >= self.tries else None

    def _alike(self, error: CallError) -> CallError:
        return type(error)(f"{self.identical} calls in a row failed alike: {error.message}", hint=error.hint, where=error.where)
