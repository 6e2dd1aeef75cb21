"""How an op says itself in a kernel: the value at an index, asked for where it is needed.

A value is not computed as a whole but at an Index of each of its two axes. An index is made of Axes, each a dimension of
a kernel's tiles; so slices, transposes, joins and reshapes only change the index at which something else is asked for,
and what is asked for twice is computed once (as in Halide, Ragan-Kelley et al., PLDI 2013, and TorchInductor).
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vortex.ir import Node


@dataclass(frozen=True)
class Axis:
    """A dimension of a kernel's tiles: `extent` indices, `width` of them at once (a power of two), in a loop where fewer."""

    slot: int                             # which dimension
    extent: int
    width: int
    name: str

    @property
    def padded(self) -> bool:
        return self.extent % self.width != 0


Axes = frozenset[Axis]


@dataclass(frozen=True)
class Index:
    """An index of an axis: its text in the kernel, below `size`, made of `axes`; `parts` is (high, n, low) of high * n + low."""

    text: str
    size: int
    axes: Axes = frozenset()
    parts: "tuple[Index, int, Index] | None" = None
    value: int | None = None

    def plus(self, number: int) -> "Index":
        if number == 0:
            return self
        if self.value is not None:
            return at(self.value + number)
        return Index(f"({self.text} + {number})", self.size + number, self.axes)

    def divided(self, by: int) -> "Index":
        if self.size <= by:
            return at(0)
        if self.value is not None:
            return at(self.value // by)
        if by == 1:
            return self
        if self.parts is not None and self.parts[1] % by == 0:
            high, n, low = self.parts
            return joined(high, n // by, low.divided(by))
        return Index(f"({self.text} // {by})", -(-self.size // by), self.axes)

    def remainder(self, by: int) -> "Index":
        if self.size <= by:
            return self
        if self.value is not None:
            return at(self.value % by)
        if by == 1:
            return at(0)
        if self.parts is not None and self.parts[1] % by == 0:
            return self.parts[2].remainder(by)
        return Index(f"({self.text} % {by})", by, self.axes)

    def within(self, size: int) -> "Index":
        """Brought into 0 .. size: for what is read beside its range and not used."""
        if self.value is not None:
            return at(min(max(self.value, 0), size - 1))
        return Index(f"tl.minimum(tl.maximum({self.text}, 0), {size - 1})", size, self.axes)


def at(value: int) -> Index:
    return Index(str(value), value + 1, value=value)


def along(axis: Axis) -> Index:
    return Index(axis.name, axis.extent, frozenset({axis}))


def joined(high: Index, n: int, low: Index) -> Index:
    """high * n + low, with low below n."""
    if high.value == 0:
        return low
    if n == 1:
        return high
    if high.value is not None and low.value is not None:
        return at(high.value * n + low.value)
    return Index(f"({high.text} * {n} + {low.text})", high.size * n, high.axes | low.axes, (high, n, low))


@dataclass(frozen=True)
class Tile:
    """Numbers in a kernel: a float32 expression, and the axes that it varies along."""

    text: str
    axes: Axes = frozenset()
    literal: bool = False                 # a number written down


class Pen(Protocol):
    """What writes a kernel. Nodes are those of the program that it writes."""

    def read(self, node: int, i: Index, j: Index) -> Tile:
        """The value of a node at [i, j]."""

    def shape(self, node: int) -> tuple[int, int]: ...

    def make(self, form: str, *tiles: Tile) -> Tile:
        """A tile by a form such as "{0} + {1}"."""

    def index(self, tile: Tile, size: int) -> Index:
        """The whole number that a tile holds, rounded and brought into 0 .. size; NaN counts as 0."""

    def listed(self, numbers: Sequence[int], at: Index) -> Index:
        """numbers[at], of numbers known beforehand."""

    def compare(self, form: str, *indices: Index) -> Tile:
        """A condition on indices, such as "({0} >= 3)"; a tile only to be given to tl.where."""

    def number(self, index: Index) -> Tile:
        """An index as a number."""

    def reduce(self, how: str, sizes: Sequence[int], of: Callable[[Index], Tile], around: Axes, blocks: bool) -> Tile:
        """sum, max or min of `of(index)` over an axis of the product of `sizes`; `around`: the axes of the indices that
        stay; `blocks`: does it vary from block to block?"""

    def factors(self, node: int, dim: int) -> tuple[int, ...]:
        """An axis of a node as the product that it was made as."""

    def product(self, node: Node, i: Index, j: Index) -> Tile:
        """A matrix product at [i, j]."""

    def leaf(self, node: Node, i: Index, j: Index) -> Tile:
        """What is supplied: query, field, state, parameter, number, and what a row knows of its blocks."""

    def rounded(self, tile: Tile) -> Tile:
        """As a field holds it."""

    def over_blocks(self, node: Node, which: int, i: Index, j: Index) -> Tile:
        """A statistic over the row's blocks of what an op across blocks is applied to, made by a launch before."""

    def neighbour(self, node: int, back: int, i: Index, j: Index) -> Tile:
        """The value of a node `back` blocks before this one; 0 before the first that is not reserved."""

    def middle(self, tile: Tile) -> Tile:
        """The same in the blocks that ops across blocks range over, 0 elsewhere."""


Say = Callable[[Pen, Node, Index, Index], Tile]


def spread(pen: Pen, node: int, i: Index, j: Index) -> Tile:
    """A node's value where it is broadcast to [i, j]."""
    rows, cols = pen.shape(node)
    return pen.read(node, i if rows > 1 else at(0), j if cols > 1 else at(0))


def elementwise(form: str) -> Say:
    """By a form of the operands, broadcast."""
    def say(pen: Pen, node: Node, i: Index, j: Index) -> Tile:
        return pen.make(form, *(spread(pen, arg, i, j) for arg in node.args))
    return say


def supplied(pen: Pen, node: Node, i: Index, j: Index) -> Tile:
    return pen.leaf(node, i, j)
