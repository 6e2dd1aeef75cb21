"""Calls of language models as records: one attempt each, and what they come to."""
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from search.store.tables import CallRow

NANOS = 1_000_000_000                 # money is kept in billionths of a dollar, so that sums are exact
CallState: TypeAlias = Literal["reserved", "answered", "failed", "lost"]


def nanos(dollars: float) -> int:
    return round(dollars * NANOS)


@dataclass(frozen=True, kw_only=True)
class CallRecord:
    """One attempt at a call. `ask` and `answer` are JSON; `price` holds dollars per million tokens as they were then.

    `state`: reserved (being made), answered, failed (the provider said no), or lost (the process that made it ended
    before an answer was kept: it may have been paid). `reserved_dollars` is the most that it could cost.
    """

    id: int
    key: str
    attempt: int
    proposer: str
    model: str
    state: CallState
    ask: Mapping[str, Any] = field(repr=False)
    answer: Mapping[str, Any] | None = field(repr=False)
    price: Mapping[str, Any]
    reserved_dollars: float
    dollars: float
    input: int
    output: int
    cache_read: int
    cache_write: int
    seconds: float
    created_at: float
    code: str = ""
    message: str = ""

    @property
    def tokens(self) -> int:
        return self.input + self.output + self.cache_read + self.cache_write


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Sums over calls. `calls` were answered; what is in flight or lost is counted with the most that it could cost."""

    nanos: int = 0
    tokens: int = 0
    calls: int = 0
    seconds: float = 0.0
    failed: int = 0
    in_flight_nanos: int = 0
    in_flight_tokens: int = 0
    in_flight: int = 0
    lost_nanos: int = 0
    lost_tokens: int = 0
    lost: int = 0

    @property
    def dollars(self) -> float:
        """Of calls that were answered, or settled by a person."""
        return self.nanos / NANOS

    @property
    def in_flight_dollars(self) -> float:
        """Held for calls that are being made, or were lost and are not settled."""
        return (self.in_flight_nanos + self.lost_nanos) / NANOS


def call_of(row: CallRow, ask: Mapping[str, Any], answer: Mapping[str, Any] | None) -> CallRecord:
    states: tuple[CallState, ...] = get_args(CallState)
    return CallRecord(
        id=row.id, key=row.key, attempt=row.attempt, proposer=row.proposer, model=row.model, ask=ask, answer=answer,
        state=next(state for state in states if state == row.state), price=row.price, code=row.code, message=row.message,
        reserved_dollars=row.reserved_nanos / NANOS, dollars=row.nanos / NANOS, input=row.input, output=row.output,
        cache_read=row.cache_read, cache_write=row.cache_write, seconds=row.seconds, created_at=row.created_at)
