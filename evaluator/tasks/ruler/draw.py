"""Chance: a stream of its own for every sample, or one stream for a whole run as in the published generator."""
from collections.abc import Sequence
from random import Random
from typing import TypeVar
from zlib import crc32

import numpy as np

Item = TypeVar("Item")
PUBLISHED_SEED = 42
GRID = tuple(int(depth) for depth in np.round(np.linspace(0, 100, 40)))


class Draw:
    """What one sample is drawn from: (task, seed, index) alone decide. `order` is a hash of its last shuffle."""

    faithful = False

    def __init__(self, task: str, seed: int, index: int) -> None:
        self._key = f"{task}/{seed}/{index}"
        self.task, self.seed, self.index = task, seed, index
        self.random = Random(self._key)
        self.order = 0

    def stream(self, name: str) -> Random:
        """A stream beside the main one: what is drawn from it changes nothing else."""
        return Random(f"{self._key}/{name}")

    def number(self, low: int, high: int) -> int:
        """Of [low, high)."""
        return self.random.randrange(low, high)

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        order = list(range(len(items)))
        self._shuffler().shuffle(order)
        self.order = crc32(repr(order).encode())
        return [items[place] for place in order]

    def places_between(self, slots: int, count: int) -> list[int]:
        """Rising places in 0..`slots` for `count` needles among so many sentences."""
        return sorted(int(self.random.random() * (slots + 1)) for _ in range(count))

    def places_in_lines(self, lines: int, count: int) -> list[int]:
        """As places_between, among whole lines."""
        return self.places_between(lines, count)

    def _shuffler(self) -> Random:
        return self.random


class FaithfulDraw(Draw):
    """One stream for all samples of a run, shuffles by a new `Random(42)` each, depths from 40 points without replacement."""

    faithful = True

    def __init__(self, task: str, seed: int) -> None:
        super().__init__(task, seed, 0)
        self.random = Random(seed)
        self._numbers = np.random.RandomState(seed % 2 ** 32)  # the published generator draws from this old generator

    def at(self, index: int) -> "FaithfulDraw":
        """The same stream, at the sample `index`."""
        self.index = index
        return self

    def number(self, low: int, high: int) -> int:
        """See Draw."""
        return int(self._numbers.randint(low, high))

    def places_between(self, slots: int, count: int) -> list[int]:
        """See Draw."""
        return sorted(int(slots * (depth / 100)) for depth in self.random.sample(GRID, count))

    def places_in_lines(self, lines: int, count: int) -> list[int]:
        """See Draw."""
        return sorted(self.random.sample(range(lines), count))

    def _shuffler(self) -> Random:
        return Random(PUBLISHED_SEED)
