"""Latencies and throughput of a load, as the client saw them: pure functions of what it noted.

Times to the first token count from when a request was due, not from when the client came to send it, so that a client
that falls behind cannot hide a queue (coordinated omission); how far it fell behind is told beside them.
"""
import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vortex.serving.load.client import Observed

PERCENTS = (50, 95, 99)


@dataclass(frozen=True, kw_only=True)
class Slo:
    """What a request must keep to be good: seconds to the first token, seconds a token after it. Infinite: no limit."""

    ttft_s: float = float("inf")
    tpot_s: float = float("inf")

    def keeps(self, one: Observed) -> bool:
        return not one.error and ttft_s(one) <= self.ttft_s and (tpot_s(one) or 0.0) <= self.tpot_s


@dataclass(frozen=True, kw_only=True)
class Percentiles:
    """In seconds, interpolated between neighbours."""

    mean: float
    p50: float
    p95: float
    p99: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Percentiles | None":
        """None of no values."""
        if not values:
            return None
        p50, p95, p99 = (float(p) for p in np.percentile(values, PERCENTS))
        return cls(mean=float(np.mean(values)), p50=p50, p95=p95, p99=p99, most=max(values))


@dataclass(frozen=True, kw_only=True)
class Latencies:
    """Of one load. Failed requests count in nothing but `failed`, and against goodput."""

    requests: int
    failed: int
    seconds: float                        # from the start to the last token
    tokens: int                           # that came, in requests that got all of theirs
    ttft: Percentiles | None
    tpot: Percentiles | None              # of requests: seconds a token after the first
    gap: Percentiles | None               # of tokens: seconds since the one before
    whole: Percentiles | None             # of requests: to the last token
    late: Percentiles | None              # how long after they were due the client sent them
    good: int                             # requests that kept the Slo
    cached_tokens: int

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0

    @property
    def requests_per_s(self) -> float:
        return (self.requests - self.failed) / self.seconds if self.seconds else 0.0

    @property
    def goodput(self) -> float:
        """Requests a second that kept the Slo."""
        return self.good / self.seconds if self.seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"tokens_per_s": self.tokens_per_s, "requests_per_s": self.requests_per_s,
                               "goodput": self.goodput}


def ttft_s(one: Observed) -> float:
    """To the first token, from when the request was due."""
    return one.arrivals[0][0] - one.due_s


def tpot_s(one: Observed) -> float | None:
    """A token after those that came first; None where none came after them."""
    (first, began), (last, ended) = one.arrivals[0], one.arrivals[-1]
    return (last - first) / (ended - began) if ended > began else None


def gaps_s(one: Observed) -> list[float]:
    """A value for each token after those that came first; tokens that come together share their gap."""
    found: list[float] = []
    for (before, had), (after, has) in itertools.pairwise(one.arrivals):
        found += [(after - before) / (has - had)] * (has - had) if has > had else []
    return found


def latencies(observed: Sequence[Observed], slo: Slo | None = None) -> Latencies:
    """Of a load that has ended."""
    whole = [one for one in observed if not one.error]
    limit = slo or Slo()
    return Latencies(
        requests=len(observed), failed=len(observed) - len(whole),
        seconds=max((one.arrivals[-1][0] for one in whole), default=0.0), tokens=sum(one.arrivals[-1][1] for one in whole),
        ttft=Percentiles.of([ttft_s(one) for one in whole]),
        tpot=Percentiles.of([each for one in whole if (each := tpot_s(one)) is not None]),
        gap=Percentiles.of([gap for one in whole for gap in gaps_s(one)]),
        whole=Percentiles.of([one.arrivals[-1][0] - one.due_s for one in whole]),
        late=Percentiles.of([one.sent_s - one.due_s for one in observed]),
        good=sum(limit.keeps(one) for one in whole), cached_tokens=sum(one.cached_tokens for one in whole),
    )
