"""Forced decode in turns, on an engine whose steps take what they are told to."""
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

import pytest

from vortex.compiler.front import load
from vortex.config import OperatingPoint
from vortex.flows import read
from vortex.ir import Geometry, Graph
from vortex.serving.engine import Completion, Recorded, Recording, Request, StepTimes, Tokenizer
from vortex.serving.load.grid import DENSE, WARM_STEPS, measure

QUEST = load(*read("quest")[1:], Geometry())
POINT = OperatingPoint()


class Timed:
    """An engine on which everything gets slower by a tenth at every call, and a flow takes a quarter of dense."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.pace = 1.0

    def start(self, model: str) -> None: ...

    @property
    def tokenizer(self) -> Tokenizer:
        raise NotImplementedError

    def geometry(self, block_size: int) -> Geometry:
        return Geometry(block_size=block_size)

    def use(self, graph: Graph | None, point: OperatingPoint) -> None:
        self.order.append("dense" if graph is None else graph.name)

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        raise NotImplementedError

    def forced_decode(self, batch: int, context: int, steps: int, *, seed: int = 0) -> StepTimes:
        self.pace *= 1.1
        step = self.pace * (0.04 if self.order[-1] == "dense" else 0.01)
        return StepTimes(batch=batch, context=context, seconds=(9.0,) * WARM_STEPS + (step,) * (steps - WARM_STEPS))

    def record(self, what: Recorded) -> AbstractContextManager[Recording]:
        raise NotImplementedError

    def stop(self) -> None: ...


def test_sides_take_turns_and_what_is_warm_counts() -> None:
    engine, seen = Timed(), list[tuple[str, int]]()
    cell = measure(engine, {DENSE: (None, POINT), "quest": (QUEST, POINT)}, (3, 64), steps=5, rounds=2,
                   watch=lambda side, done: seen.append((side, done)))
    assert engine.order == ["dense", "quest", "quest", "dense", "dense", "quest"]
    assert seen == [*zip(engine.order, range(6), strict=True)]
    assert {name: len(own) for name, own in cell.step_s.items()} == {"dense": 2, "quest": 2}
    assert max(max(own) for own in cell.step_s.values()) < 1.0          # neither the first round nor the first steps
    assert cell.ratios("quest") == pytest.approx((4.4, 4 / 1.1))        # the drift speaks for each side in turn
    assert cell.tokens_per_s("quest") == pytest.approx(3 / (0.01 * 1.1 ** 3 * (1 + 1.1 ** 3) / 2))
    assert cell.drift > 0.05
