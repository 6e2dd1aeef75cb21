"""Forced decode over a grid of batch and context: dense and flows in turns on one engine, at fixed lengths."""
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from vortex.config import OperatingPoint
from vortex.ir import Graph
from vortex.serving.engine import Engine

DENSE = "dense"
WARM_STEPS = 2
Side = tuple[Graph | None, OperatingPoint]
Watch = Callable[[str, int], None]        # the side, and how many measurements of the cell are done


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The median step of each round, in seconds, by side; rounds of all sides stand beside each other in time."""

    batch: int
    context: int
    step_s: Mapping[str, tuple[float, ...]]

    def tokens_per_s(self, side: str) -> float:
        return self.batch / median(self.step_s[side])

    def ratios(self, side: str) -> tuple[float, ...]:
        """How many times faster than dense, by round."""
        return tuple(dense / own for dense, own in zip(self.step_s[DENSE], self.step_s[side], strict=True))

    @property
    def drift(self) -> float:
        """How far the dense rounds differ, as a share of their median."""
        dense = self.step_s[DENSE]
        return (max(dense) - min(dense)) / median(dense)


def measure(engine: Engine, sides: Mapping[str, Side], shape: tuple[int, int], *, steps: int, rounds: int,
            watch: Watch = lambda side, done: None) -> Cell:
    """One cell of `shape` (batch, context). In a first round, which does not count, kernels are built and the context is
    filled; who comes first takes turns, so that a drift of the machine cancels. Raises EngineError."""
    batch, context = shape
    found: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for place, name in enumerate(_rotated([*sides], turn)):
            watch(name, turn * len(sides) + place)
            engine.use(*sides[name])
            times = engine.forced_decode(batch, context, steps + WARM_STEPS)
            if turn:
                found[name].append(median(times.seconds[WARM_STEPS:]))
    return Cell(batch=batch, context=context, step_s={name: tuple(own) for name, own in found.items()})


def _rotated(names: Sequence[str], turn: int) -> Sequence[str]:
    at = turn % len(names)
    return [*names[at:], *names[:at]]
