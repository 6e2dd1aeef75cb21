"""Dense against a flow on one engine, in turns: dense, flow, dense. How far the dense runs differ tells how steady it is."""
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

from vortex.serving.load.client import Observed
from vortex.serving.load.latency import Latencies, Percentiles

Side = Literal["dense", "flow"]
STEADY = 0.05                             # dense runs that differ by less agree


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One load under one side; `swap_s` is how long the engine took to change to it, `counted` what its scheduler counted."""

    side: Side
    swap_s: float
    observed: tuple[Observed, ...]
    told: Latencies
    counted: Mapping[str, int] = field(default_factory=dict)

    @property
    def share(self) -> float | None:
        """Of the blocks that sparse steps had, the part that was attended; None where there was no such step."""
        possible = self.counted.get("possible_blocks", 0)
        return self.counted["selected_blocks"] / possible if possible else None


@dataclass(frozen=True)
class Figure:
    """One that is compared; None where a load has none of it."""

    name: str
    of: Callable[[Latencies], float | None]
    more_is_better: bool = False


@dataclass(frozen=True, kw_only=True)
class Compared:
    """`times`: how many times better the flow is, the median over it and each dense neighbour; `low` and `high` the worst and
    the best of these. `drift`: how far the dense runs differ, as a share of their median."""

    name: str
    dense: tuple[float, ...]
    flow: tuple[float, ...]
    times: float
    low: float
    high: float
    drift: float

    @property
    def steady(self) -> bool:
        return self.drift <= STEADY


def _at(kind: str, percent: str) -> Callable[[Latencies], float | None]:
    def of(told: Latencies) -> float | None:
        found: Percentiles | None = getattr(told, kind)
        return None if found is None else float(getattr(found, percent))
    return of


FIGURES = (
    *(Figure(f"{kind} {percent}", _at(kind, percent))
      for kind in ("ttft", "tpot", "gap", "whole") for percent in ("p50", "p95", "p99")),
    Figure("tokens/s", lambda told: told.tokens_per_s, more_is_better=True),
    Figure("requests/s", lambda told: told.requests_per_s, more_is_better=True),
    Figure("goodput", lambda told: told.goodput, more_is_better=True),
)


def order(rounds: int) -> tuple[Side, ...]:
    """dense, flow, dense; each further round adds flow, dense."""
    return ("dense", *(("flow", "dense") * rounds))


def compare(turns: Sequence[Turn]) -> dict[str, Compared]:
    """Each figure that all turns have, by name; turns stand in the order in which they were taken."""
    found = {}
    for figure in FIGURES:
        values = [figure.of(turn.told) for turn in turns]
        if None not in values:
            found[figure.name] = _compared(figure, [turn.side for turn in turns], [float(v) for v in values if v is not None])
    return found


def _compared(figure: Figure, sides: Sequence[Side], values: Sequence[float]) -> Compared:
    dense = tuple(value for side, value in zip(sides, values, strict=True) if side == "dense")
    flow = tuple(value for side, value in zip(sides, values, strict=True) if side == "flow")
    pairs = [(values[at], values[near]) for at, side in enumerate(sides) if side == "flow"
             for near in (at - 1, at + 1) if 0 <= near < len(sides) and sides[near] == "dense"]
    times = sorted(_times(own, base, figure.more_is_better) for own, base in pairs)
    middle = median(dense)
    return Compared(name=figure.name, dense=dense, flow=flow, times=median(times), low=times[0], high=times[-1],
                    drift=(max(dense) - min(dense)) / middle if middle else 0.0)


def _times(own: float, base: float, more_is_better: bool) -> float:
    above, below = (own, base) if more_is_better else (base, own)
    return above / below if below else (1.0 if above == below else float("inf"))
