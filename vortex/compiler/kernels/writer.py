"""The text of one kernel as it grows: statements land in the outermost loop that knows all their axes, each written once."""
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod

from vortex.errors import CompileError
from vortex.language.kernel import Axes, Axis, Tile

INDENT = "    "
MOST_LINES = 4000
MOST_ELEMENTS = 1 << 16                   # of a tile: past this no chip has the registers


@dataclass
class Scope:
    """A body: of the kernel, or of a loop over an axis."""

    depth: int
    parent: "Scope | None" = None
    lines: list[str] = field(default_factory=list)
    known: dict[object, Tile] = field(default_factory=dict)
    axes: dict[str, None] = field(default_factory=dict)           # whose index is defined here


class Writer:
    """Dimension `{AX2}` stands for an index that broadcasts a vector along slot 2, and is filled in when the rank is known."""

    def __init__(self, depth: int) -> None:
        self.root = Scope(depth)
        self._loops: dict[str, Scope] = {}
        self._blocks: Scope | None = None
        self._head: list[str] = []        # indices: statements of the root may need one that is asked for later
        self._names = 0
        self._lines = 0
        self.rank = 1
        self.widest = 1                   # numbers of the largest tile

    def over_blocks(self, block: Axis) -> None:
        """From here on what varies along `block` stands in a loop of its own, which `text` gives `opening`."""
        self._blocks = self._loops[block.name] = Scope(self.root.depth + 1, self.root)

    def name(self) -> str:
        self._names += 1
        return f"t{self._names}"

    def scope_of(self, axes: Axes) -> Scope:
        """The deepest of the loops that define one of the axes."""
        scopes = [self._loops[axis.name] for axis in axes if axis.name in self._loops]
        return max(scopes, key=lambda scope: scope.depth, default=self.root)

    def find(self, key: object, axes: Axes) -> Tile | None:
        """What was written before under `key`, where it is still in scope; `axes` are all that it may vary along."""
        scope: Scope | None = self.scope_of(axes)
        while scope is not None:
            if key in scope.known:
                return scope.known[key]
            scope = scope.parent
        return None

    def let(self, text: str, axes: Axes, key: object = None) -> Tile:
        """A name for an expression; under the same `key` it is written once in a scope."""
        if key is not None and (known := self.find(key, axes)) is not None:
            return known
        scope, name = self.scope_of(axes), self.name()
        self.line(scope, f"{name} = {text}")
        tile = Tile(name, axes)
        if key is not None:
            scope.known[key] = tile
        self.widest = max(self.widest, elements(axes))
        if elements(axes) > MOST_ELEMENTS:
            raise CompileError(f"a kernel would hold {elements(axes):,} numbers at once",
                               hint="Sum before what is large is taken apart, or keep a smaller summary.")
        return tile

    def line(self, scope: Scope, text: str) -> None:
        self._lines += 1
        if self._lines > MOST_LINES:
            raise CompileError(f"a kernel of this flow is longer than {MOST_LINES:,} statements",
                               hint="Use fewer ops, or sum before what is large is taken apart.")
        scope.lines.append(INDENT * scope.depth + text)

    def define(self, axis: Axis) -> None:
        """The index of an axis that is there all at once."""
        self.rank = max(self.rank, axis.slot + 1)
        if axis.name not in self.root.axes:
            self.root.axes[axis.name] = None
            self._head.append(INDENT * self.root.depth + f"{axis.name} = tl.arange(0, {axis.width}){{AX{axis.slot}}}")

    @contextmanager
    def loop(self, axis: Axis, around: Axes) -> Iterator[Scope]:
        """A loop over an axis, `width` indices a turn, within the loops of `around`."""
        self.rank = max(self.rank, axis.slot + 1)
        parent = self.scope_of(around)
        scope = Scope(parent.depth + 1, parent)
        scope.lines.append(f"{INDENT * scope.depth}{axis.name} = {axis.name}_at + tl.arange(0, {axis.width}){{AX{axis.slot}}}")
        self._loops[axis.name] = scope
        try:
            yield scope
        finally:
            del self._loops[axis.name]
        parent.lines.append(f"{INDENT * parent.depth}for {axis.name}_at in range(0, {axis.extent}, {axis.width}):")
        parent.lines.extend(scope.lines)

    def filled(self, text: str) -> str:
        """`text` with its dimensions written out."""
        for slot in range(self.rank):
            dims = ", ".join(":" if at == slot else "None" for at in range(self.rank))
            text = text.replace(f"{{AX{slot}}}", f"[{dims}]" if self.rank > 1 else "")
        return text

    def shape(self, axes: Axes) -> str:
        """The shape of a tile, known when the text is filled in."""
        return "{SHAPE:" + ",".join(f"{axis.slot}={axis.width}" for axis in sorted(axes, key=lambda a: a.slot)) + "}"

    def text(self, opening: str = "") -> str:
        """The whole body; `opening` begins the loop over blocks."""
        inner = [] if self._blocks is None else [opening, *self._blocks.lines]
        return "\n".join(_shaped(self.filled(line), self.rank) for line in [*self._head, *self.root.lines, *inner])


def _shaped(line: str, rank: int) -> str:
    while "{SWAP:" in line:
        before, rest = line.split("{SWAP:", 1)
        pair, after = rest.split("}", 1)
        one, other = map(int, pair.split(","))
        order = [other if slot == one else one if slot == other else slot for slot in range(rank)]
        line = f"{before}{tuple(order)}{after}"
    while "{SHAPE:" in line:
        before, rest = line.split("{SHAPE:", 1)
        sizes, after = rest.split("}", 1)
        widths = dict(pair.split("=") for pair in sizes.split(",") if pair)
        line = f"{before}({', '.join(widths.get(str(slot), '1') for slot in range(rank))},){after}"
    return line


def elements(axes: Axes) -> int:
    """Numbers in a tile."""
    return prod(axis.width for axis in axes)


def power_of_two(size: int) -> int:
    """The least that is not below."""
    return 1 << max(0, size - 1).bit_length()


def fitting(sizes: Sequence[int], room: int, least: int) -> list[int]:
    """Widths of axes that are `room` numbers together at most: powers of two, `least` at least where there is room."""
    widths = [max(least, power_of_two(size)) if size > 1 else 1 for size in sizes]
    while prod(widths) > room and max(widths) > 1:
        widths[widths.index(max(widths))] //= 2
    return widths


def masks(axes: Axes, more: Sequence[str] = ()) -> str:
    """The condition under which an element of a padded tile is real; "" where all are."""
    conditions = [*more, *(f"({axis.name} < {axis.extent})" for axis in sorted(axes, key=lambda a: a.slot) if axis.padded)]
    return " & ".join(conditions)
