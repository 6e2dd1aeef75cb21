"""What a campaign may spend on models: reserved before a call, waited for while in flight, refused when it is gone."""
import math
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from agent.models.prices import Price
from search.store.calls import NANOS, CallRecord, Spent, nanos
from search.store.ledger import Ledger
from vortex.errors import BudgetSpent

HINT = ("What was found is kept, and proposers that can still pay go on. "
        "To spend more, run it under another name with larger limits (--set campaign.name=... --set budget.dollars=...).")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """None: no limit. `minutes` are those of the calls, added up."""

    dollars: float | None = None
    tokens: int | None = None
    calls: int | None = None
    minutes: float | None = None


@dataclass(frozen=True, kw_only=True)
class Need:
    """The most that a call can cost."""

    dollars: float
    tokens: int


class Crowded(Exception):
    """A call that may fit once those in flight have ended; `refusal` if it does not."""

    def __init__(self, refusal: BudgetSpent) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def forever() -> float:
    return math.inf


@dataclass(frozen=True, kw_only=True)
class Purse:
    """Shared by all callers of a campaign and safe among threads. `left_s`: seconds that the campaign may still run."""

    ledger: Ledger
    campaign: Limits = field(default_factory=Limits)
    proposers: Mapping[str, Limits] = field(default_factory=dict)
    left_s: Callable[[], float] = forever
    # The three below are state of this process alone: what must outlive it stands in the ledger.
    _changed: threading.Condition = field(default_factory=threading.Condition, repr=False, compare=False)
    _own: list[str] = field(default_factory=list, repr=False, compare=False)                # keys of our calls in flight
    _turns: dict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock), repr=False, compare=False)

    @contextmanager
    def turn(self, key: str) -> Iterator[None]:
        """One thread at a time asks under a key: a second one finds the answer of the first."""
        with self._changed:
            lock = self._turns[key]
        with lock:
            yield

    @contextmanager
    def reserved(self, key: str, proposer: str, model: str, ask: Mapping[str, Any], need: Need,
                 price: Price) -> Iterator[CallRecord]:
        """A call entered in the ledger, for the block that makes it.

        Money that calls in flight hold may come back: while only that is missing, waits for them. Raises BudgetSpent.
        """
        with self._changed:
            record = self._entered(key, proposer, model, ask, need, price)
            self._own.append(key)
        try:
            yield record
        finally:
            with self._changed:
                self._own.remove(key)
                self._changed.notify_all()

    def _entered(self, key: str, proposer: str, model: str, ask: Mapping[str, Any], need: Need, price: Price) -> CallRecord:
        while True:
            try:
                return self.ledger.reserve(key, proposer, model, ask, need.dollars, tokens=need.tokens, price=asdict(price),
                                           allow=lambda all_of_it, own: self.check(proposer, need, all_of_it, own))
            except Crowded as crowded:
                if not self._own:
                    raise crowded.refusal from None
                self._changed.wait()

    def check(self, proposer: str, need: Need, everything: Spent, own: Spent) -> None:
        """Raises BudgetSpent where `need` does not fit into a limit, Crowded where it may when calls in flight have ended."""
        if self.left_s() <= 0:
            raise BudgetSpent("the campaign's minutes are used up", hint=HINT)
        crowded = [refusal for whose, limits, spent in (("the campaign", self.campaign, everything),
                                                        (f"proposer {proposer}", self.limits(proposer), own))
                   if (refusal := _refusal(whose, limits, spent, need)) is not None]
        if crowded:
            raise Crowded(crowded[0])

    def limits(self, proposer: str) -> Limits:
        """Those of the proposer alone."""
        return self.proposers.get(proposer, Limits())


def _refusal(whose: str, limits: Limits, spent: Spent, need: Need) -> BudgetSpent | None:
    """What would be said if no money came back from calls in flight. Raises it where none that could would be enough."""
    if limits.minutes is not None and spent.seconds >= 60 * limits.minutes:
        raise BudgetSpent(f"{whose} may wait {limits.minutes:g} minutes for answers, and did", hint=HINT)
    refusal = None
    for name, limit, gone, in_flight, needed, scale in (
            ("dollars", limits.dollars and nanos(limits.dollars), spent.nanos + spent.lost_nanos, spent.in_flight_nanos,
             nanos(need.dollars), NANOS),
            ("tokens", limits.tokens, spent.tokens + spent.lost_tokens, spent.in_flight_tokens, need.tokens, 1),
            ("calls", limits.calls, spent.calls + spent.lost, spent.in_flight, 1, 1)):
        if limit is None or gone + in_flight + needed <= limit:
            continue
        told = BudgetSpent(f"{whose} may spend {limit / scale:,.10g} {name}: {gone / scale:,.4g} are spent, and the next call "
                           f"may take {needed / scale:,.4g}", hint=HINT)
        if gone + needed > limit:
            raise told
        refusal = refusal or told
    return refusal
