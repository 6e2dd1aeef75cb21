"""Products of a row with its blocks on tensor cores: [blocks * rows, K] @ [K, heads]."""
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vortex.ir import Lead, Node
from vortex.language.kernel import Axis, Index, Tile, along

if TYPE_CHECKING:
    from vortex.compiler.kernels.pen import NodePen

LEAST = 16                                # rows, columns and depth that tensor cores take
MOST_DEPTH = 128


def pays(nodes: Sequence[Node], live: Sequence[int]) -> bool:
    """Is there a product of a row with its blocks that is large on all sides?"""
    return any(_suits(nodes, nodes[index]) for index in live)


def _suits(nodes: Sequence[Node], node: Node) -> bool:
    if node.op != "matmul":
        return False
    x, y = (nodes[arg] for arg in node.args)
    mixed = (x.type.lead is Lead.BLOCK) != (y.type.lead is Lead.BLOCK)
    return mixed and x.type.cols >= LEAST and min(node.type.shape) > 1


def on_tensor_cores(pen: "NodePen", node: Node, i: Index, j: Index) -> Tile | None:
    """The product at [i, j] where both are whole axes; None where a sum of products has to do."""
    places = [next(iter(index.axes)) if len(index.axes) == 1 and index.text == next(iter(index.axes)).name else None
              for index in (i, j)]
    rows, cols = places
    if pen.block is None or not _suits(pen.nodes, node) or rows is None or cols is None or rows.slot == cols.slot:
        return None
    if any(axis.width < max(LEAST, axis.extent) for axis in (rows, cols)):
        return None
    x, y = node.args
    swapped = pen.nodes[y].type.lead is Lead.BLOCK
    many, few = (cols, rows) if swapped else (rows, cols)         # of the blocks, of the row
    depth = pen.shape(x)[1]
    width = min(MOST_DEPTH, 1 << (depth - 1).bit_length())
    axis = Axis(max(many.slot, few.slot) + 1, depth, width, f"r{pen.writer.name()[1:]}")
    out = (pen.block.width * many.width, few.width)
    around = frozenset({pen.block, many, few})
    home, total = pen.writer.scope_of(around), pen.writer.name()
    begin = len(home.lines)
    with pen.writer.loop(axis, around) as inside:
        k = along(axis)
        left, right = pen.read(x, i, k), pen.read(y, k, j)
        blocks, row = (right, left) if swapped else (left, right)
        a = _flat(pen, blocks, (pen.block, many, axis), (out[0], width))
        b = _flat(pen, row, (few, axis), (few.width, width))
        narrow = 16 if all(_is_narrow(pen, arg) for arg in node.args) else 32
        pen.constants["UPCAST"] = False
        pen.writer.line(inside, f"{total} = add_product({a}, tl.trans({b}), {total}, {narrow}, UPCAST)")
    indent = "    " * home.depth
    home.lines.insert(begin, f"{indent}{total} = tl.zeros({out}, tl.float32)")
    return _spread(pen, total, many, few)


def _flat(pen: "NodePen", tile: Tile, axes: Sequence[Axis], shape: tuple[int, int]) -> str:
    """A tile as a matrix; beyond the ends of padded axes stands 0. The slots of `axes` ascend."""
    over = frozenset(axes)
    whole = pen.spread_over(tile, over)
    return pen.writer.let(f"tl.reshape({whole.text}, {shape})", over).text


def _spread(pen: "NodePen", total: str, many: Axis, few: Axis) -> Tile:
    """The matrix [blocks * many, few] back in the slots of its axes."""
    assert pen.block is not None
    axes = frozenset({pen.block, many, few})
    if many.slot < few.slot:
        return pen.writer.let(f"tl.reshape({total}, {pen.writer.shape(axes)})", axes)
    turned = frozenset({pen.block, Axis(few.slot, many.extent, many.width, many.name),
                        Axis(many.slot, few.extent, few.width, few.name)})
    made = pen.writer.let(f"tl.reshape({total}, {pen.writer.shape(turned)})", axes)
    return pen.writer.let(f"tl.permute({made.text}, {{SWAP:{many.slot},{few.slot}}})", axes)


def _is_narrow(pen: "NodePen", index: int) -> bool:
    """Is it read from bfloat16 or fp8, and only turned?"""
    node = pen.nodes[index]
    while node.op == "transpose":
        node = pen.nodes[node.args[0]]
    return node.op in ("input", "field") and pen.narrow(node)
