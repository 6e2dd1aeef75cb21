"""Writes the value of nodes into a kernel: reductions, products, indices and loads; what a leaf is, its Source says."""
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Protocol

from vortex.compiler.kernels.products import on_tensor_cores
from vortex.compiler.kernels.writer import Writer, elements, fitting, masks, power_of_two
from vortex.errors import CompileError
from vortex.ir import Lead, Node
from vortex.language.kernel import Axes, Axis, Index, Tile, along, at, joined
from vortex.language.ops.record import find

NEUTRAL = {"sum": "0.0", "max": "float('-inf')", "min": "float('inf')"}
TWO = {"sum": "{0} + {1}", "max": "larger({0}, {1})", "min": "smaller({0}, {1})"}
ALONG = {"sum": "tl.sum({0}, axis={1}, keep_dims=True)", "max": "tl.reduce({0}, {1}, larger, keep_dims=True)",
         "min": "tl.reduce({0}, {1}, smaller, keep_dims=True)"}
ROUNDED = {"float32": "{0}", "bfloat16": "as_bf16({0})", "float16": "as_fp16({0})"}
MOST_NODES_DEEP = 1000


class Source(Protocol):
    """Where the numbers of one kernel come from: pointers, by name and place."""

    def load(self, pen: "NodePen", node: Node, i: Index, j: Index) -> Tile: ...

    def kept(self, pen: "NodePen", node: int, i: Index, j: Index) -> Tile | None:
        """What a launch before this one has left of a node."""

    def statistic(self, pen: "NodePen", node: Node, which: int, i: Index, j: Index) -> Tile: ...

    def neighbour(self, pen: "NodePen", node: int, back: int, i: Index, j: Index) -> Tile: ...

    def narrow(self, node: Node) -> bool:
        """Does bfloat16 hold the numbers of a leaf?"""


class NodePen:
    """A Pen (vortex/language/kernel.py) over the nodes of one program. `limit`: numbers of a tile before it is looped over."""

    def __init__(self, nodes: Sequence[Node], writer: Writer, source: Source, *, block: Axis | None, limit: int,
                 dtype: str) -> None:
        self.nodes = nodes
        self.writer = writer
        self.block = block
        self.arguments: dict[str, str] = {}                       # of the kernel: type by name, in order of first use
        self.tables: dict[str, tuple[int, ...]] = {}
        self.constants: dict[str, bool] = {}
        self.loops = 0
        self.least = 1                                            # numbers along an axis, padded
        self._source = source
        self._limit = limit
        self._dtype = dtype
        self._deep = 0

    def argument(self, name: str, type_: str) -> str:
        self.arguments.setdefault(name, type_)
        return name

    def shape(self, node: int) -> tuple[int, int]:
        return self.nodes[node].type.shape

    @property
    def blocks(self) -> Axes:
        return frozenset() if self.block is None else frozenset({self.block})

    def read(self, node: int, i: Index, j: Index) -> Tile:
        key = (node, i.text, j.text)
        varying = i.axes | j.axes | (self.blocks if self.nodes[node].type.lead is Lead.BLOCK else frozenset())
        known = self.writer.find(key, varying)
        if known is not None:
            return known
        tile = self._source.kept(self, node, i, j) or self._said(node, i, j)
        if not tile.literal:
            self.writer.scope_of(tile.axes).known[key] = tile
        return tile

    def _said(self, node: int, i: Index, j: Index) -> Tile:
        found = self.nodes[node]
        say = find(found.op).kernel
        if say is None:
            raise CompileError(f"{found.op} cannot be said in a kernel here", op=found.op)
        self._deep += 1
        if self._deep > MOST_NODES_DEEP:
            raise CompileError(f"more than {MOST_NODES_DEEP:,} ops are applied one after the other, {found.op} among them",
                               hint="Use fewer ops in a row.", op=found.op)
        try:
            return say(self, found, i, j)
        finally:
            self._deep -= 1

    def make(self, form: str, *tiles: Tile) -> Tile:
        if not tiles:
            return Tile(form, literal=True)
        if form == "{0}":
            return tiles[0]
        texts = [f"tl.full((), {tile.text}, tl.float32)" for tile in tiles] if all(t.literal for t in tiles) else \
            [tile.text if not tile.text.startswith("-") else f"({tile.text})" for tile in tiles]
        return self.writer.let(form.format(*texts), frozenset().union(*(tile.axes for tile in tiles)))

    def index(self, tile: Tile, size: int) -> Index:
        inside = f"tl.minimum(tl.maximum(as_whole(tl.where({tile.text} == {tile.text}, {tile.text}, 0.0)), 0.0), {size - 1}.0)"
        whole = self.writer.let(f"{inside}.to(tl.int32)", tile.axes, ("index", tile.text, size))
        return Index(whole.text, size, tile.axes)

    def listed(self, numbers: Sequence[int], at: Index) -> Index:
        if at.value is not None:
            return Index(str(numbers[at.value]), numbers[at.value] + 1, value=numbers[at.value])
        step = numbers[1] - numbers[0] if len(numbers) > 1 else 0
        if all(number == numbers[0] + k * step for k, number in enumerate(numbers)):
            return Index(f"({numbers[0]} + {at.text} * {step})", max(numbers) + 1, at.axes)
        name = next((name for name, known in self.tables.items() if known == tuple(numbers)), f"table_{len(self.tables)}")
        self.tables[name] = tuple(numbers)
        self.argument(name, "*i32")
        found = self.writer.let(self.loaded(name, at.text, at.axes, other="0"), at.axes, ("table", name, at.text))
        return Index(found.text, max(numbers) + 1, at.axes)

    def compare(self, form: str, *indices: Index) -> Tile:
        axes = frozenset[Axis]().union(*(index.axes for index in indices))
        return self.writer.let(form.format(*(index.text for index in indices)), axes)

    def number(self, index: Index) -> Tile:
        if index.value is not None:
            return Tile(f"{index.value}.0", literal=True)
        return self.writer.let(f"({index.text}).to(tl.float32)", index.axes, ("number", index.text))

    def rounded(self, tile: Tile) -> Tile:
        form = ROUNDED[self._dtype]
        return tile if form == "{0}" else self.make(form, tile)

    def leaf(self, node: Node, i: Index, j: Index) -> Tile:
        if node.op == "const":
            return Tile(repr(node.attr("value")), literal=True)
        return self._source.load(self, node, i, j)

    def over_blocks(self, node: Node, which: int, i: Index, j: Index) -> Tile:
        return self._source.statistic(self, node, which, i, j)

    def neighbour(self, node: int, back: int, i: Index, j: Index) -> Tile:
        return self._source.neighbour(self, node, back, i, j)

    def middle(self, tile: Tile) -> Tile:
        return self.writer.let(f"tl.where(middle, {tile.text}, 0.0)", tile.axes | self.blocks)

    def loaded(self, pointer: str, offset: str, axes: Axes, more: Sequence[str] = (), other: str = "0.0") -> str:
        """A load of what is real of a tile. `other` is a number of the pointer's kind: a whole one does not become fp8."""
        mask = masks(axes - self.blocks, [*more, *(["here"] if axes & self.blocks else [])])
        return f"tl.load({pointer} + {offset}, mask={mask}, other={other})" if mask else f"tl.load({pointer} + {offset})"

    def factors(self, node: int, dim: int) -> tuple[int, ...]:
        found = self.nodes[node]
        size = found.type.shape[dim - 1]
        return _factored(self, found, dim) if size > 1 else ()

    def product(self, node: Node, i: Index, j: Index) -> Tile:
        if (made := on_tensor_cores(self, node, i, j)) is not None:
            return made
        x, y = node.args

        def term(k: Index) -> Tile:
            return self.make("{0} * {1}", self.read(x, i, k), self.read(y, k, j))

        return self.reduce("sum", (self.shape(x)[1],), term, i.axes | j.axes, node.type.lead is Lead.BLOCK)

    def reduce(self, how: str, sizes: Sequence[int], of: Callable[[Index], Tile], around: Axes, blocks: bool) -> Tile:
        sizes = [size for size in sizes if size > 1]
        fixed = around | (self.blocks if blocks else frozenset())
        if not sizes:
            return of(at(0))
        axes = self._axes(sizes, fixed)
        index = along(axes[0])
        for axis in axes[1:]:
            index = joined(index, axis.extent, along(axis))
        looped = [axis for axis in axes if axis.width < axis.extent]
        if not looped:
            return self._folded(how, self._padded(how, of(index), axes), axes)
        # What is the same for all blocks is computed before them: its loops cost no block anything.
        self.loops += self.blocks <= fixed and self.block is not None
        home, total = self.writer.scope_of(fixed), self.writer.name()
        begin = len(home.lines)
        with ExitStack() as stack:
            outside = fixed
            for axis in looped:
                scope = stack.enter_context(self.writer.loop(axis, outside))
                outside = outside | {axis}
            tile = self._padded(how, of(index), axes)
            self.writer.line(scope, f"{total} = {TWO[how].format(total, tile.text)}")
        indent = "    " * home.depth
        home.lines.insert(begin, f"{indent}{total} = tl.full({self.writer.shape(tile.axes)}, {NEUTRAL[how]}, tl.float32)")
        return self._folded(how, Tile(total, tile.axes), axes)

    def _axes(self, sizes: Sequence[int], fixed: Axes) -> list[Axis]:
        """One for each size, in free dimensions; in loops where all at once would be more than `limit` numbers."""
        room = max(1, self._limit // elements(fixed))
        widths = fitting(sizes, room, self.least)
        taken, found = {axis.slot for axis in fixed} | {0}, list[Axis]()
        for size, width in zip(sizes, widths, strict=True):
            slot = next(slot for slot in range(1, 64) if slot not in taken)
            taken.add(slot)
            loop = width < size
            name = f"r{self.writer.name()[1:]}" if loop else self.index_name(slot, size, width)
            axis = Axis(slot, size, width, name)
            if not loop:
                self.writer.define(axis)
            found.append(axis)
        return found

    def index_name(self, slot: int, size: int, width: int) -> str:
        """Of an axis that is there all at once; its width is told where room was short, for one name has one width."""
        usual = max(self.least, power_of_two(size)) if size > 1 else 1
        return f"x{slot}_{size}" if width == usual else f"x{slot}_{size}_{width}"

    def narrow(self, node: Node) -> bool:
        return self._source.narrow(node)

    def spread_over(self, tile: Tile, axes: Axes) -> Tile:
        """With 0 beyond the ends of padded axes, and along axes that it does not vary along."""
        return self._padded("sum", tile, sorted(axes, key=lambda axis: axis.slot))

    def _padded(self, how: str, tile: Tile, axes: Sequence[Axis]) -> Tile:
        """Spread over all `axes`, with what changes nothing beyond their ends."""
        over = frozenset(axes)
        mask = masks(over)
        missing = [axis for axis in axes if axis not in tile.axes]
        if not mask and not missing:
            return tile
        held = " & ".join([*([mask] if mask else []), *(f"({axis.name} >= 0)" for axis in missing)])
        return self.writer.let(f"tl.where({held}, {tile.text}, {NEUTRAL[how]})", tile.axes | over)

    def _folded(self, how: str, tile: Tile, axes: Sequence[Axis]) -> Tile:
        for axis in reversed(axes):
            tile = self.writer.let(ALONG[how].format(tile.text, axis.slot), tile.axes - {axis})
        return tile


def _factored(pen: NodePen, node: Node, dim: int) -> tuple[int, ...]:
    """The factors of an axis that is larger than 1; one factor where nothing is known."""
    size = node.type.shape[dim - 1]
    attrs: Mapping[str, object] = dict(node.attrs)
    if node.op == "kron" and dim in (attrs["dim"] if isinstance(attrs["dim"], tuple) else (attrs["dim"],)):
        return pen.factors(node.args[0], dim) + pen.factors(node.args[1], dim)
    if node.op == "transpose":
        return pen.factors(node.args[0], 3 - dim)
    if node.op == "reshape":
        rows, cols = pen.shape(node.args[0])
        return tuple(f for f in (rows, cols) if f > 1) if size == rows * cols else (size,)
    if find(node.op).numbers or (len(node.args) == 1 and node.type.shape == pen.shape(node.args[0])):
        parts = [pen.factors(arg, dim) for arg in node.args if pen.shape(arg)[dim - 1] == size]
        return max(parts, key=len, default=(size,)) or (size,)
    return (size,)
