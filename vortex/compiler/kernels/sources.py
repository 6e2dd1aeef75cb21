"""Where the numbers of the two kinds of kernels come from: of a completed block, and of the blocks of a row."""
from collections.abc import Mapping
from dataclasses import dataclass

from vortex.compiler.bits import packed_dtype
from vortex.compiler.kernels.pen import NodePen
from vortex.config import OperatingPoint
from vortex.ir import Field, Graph, Node
from vortex.language.kernel import Index, Tile, joined

TRITON_TYPES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16", "float8_e4m3fn": "fp8e4nv", "float8_e5m2": "fp8e5"}
TRITON_NAMES = {"float32": "tl.float32", "bfloat16": "tl.bfloat16", "float16": "tl.float16",
                "float8_e4m3fn": "tl.float8e4nv", "float8_e5m2": "tl.float8e5"}
NARROW = ("bfloat16", "float8_e4m3fn", "float8_e5m2")
POOLS = {"k": "k", "v": "v", "latent": "k"}


@dataclass(frozen=True, kw_only=True)
class Types:
    """Dtypes of what the engine owns: queries, keys and values; of fields and state the point says it."""

    query: str = "bfloat16"
    kv: str = "bfloat16"


def pointer(dtype: str) -> str:
    return f"*{TRITON_TYPES[dtype]}"


def field_name(graph: Graph, name: str) -> str:
    """The argument of a field or state: names of flows may be any text."""
    return f"field_{[field.name for field in graph.fields].index(name)}"


def field_dtype(graph: Graph, point: OperatingPoint, field: Field) -> str:
    """How a field is kept: as the point says, or packed where that loses nothing."""
    return packed_dtype(graph, field) or point.dtype


class BlockSource:
    """The block just completed: `block` is its id, `head` its kv head."""

    def __init__(self, graph: Graph, types: Types) -> None:
        self.graph = graph
        self.types = types

    def load(self, pen: NodePen, node: Node, i: Index, j: Index) -> Tile:
        if node.op == "param":
            return load_parameter(pen, self.graph, node, i, j)
        pool = POOLS[str(node.attr("name"))]
        pen.argument(pool, pointer(self.types.kv))
        base = stored_base(pen, pool, "block")
        text = pen.loaded(pool, f"{base} + ({i.text}) * {pool}_s + {j.text}", i.axes | j.axes)
        return pen.writer.let(f"{text}.to(tl.float32)", i.axes | j.axes)

    def kept(self, pen: NodePen, node: int, i: Index, j: Index) -> Tile | None:
        return None

    def narrow(self, node: Node) -> bool:
        return False

    def statistic(self, pen: NodePen, node: Node, which: int, i: Index, j: Index) -> Tile:
        raise AssertionError("forward_cache has no ops across blocks")

    def neighbour(self, pen: NodePen, node: int, back: int, i: Index, j: Index) -> Tile:
        raise AssertionError("forward_cache has no ops across blocks")


@dataclass(frozen=True)
class Kept:
    """What earlier launches have left: nodes kept by block or by row, and statistics."""

    blocks: Mapping[int, str]
    rows: Mapping[int, str]
    statistics: Mapping[int, str]


class RowSource:
    """Scored blocks of a row, or (without a block axis) the row itself. In scope: row, request, head, block, ids, here."""

    def __init__(self, graph: Graph, types: Types, point: OperatingPoint, kept: Kept) -> None:
        self.graph = graph
        self.types = types
        self.point = point
        self.left = kept

    def load(self, pen: NodePen, node: Node, i: Index, j: Index) -> Tile:
        axes = i.axes | j.axes
        if node.op == "param":
            return load_parameter(pen, self.graph, node, i, j)
        if node.op == "input":
            pen.argument("q", pointer(self.types.query))
            rows, cols = node.type.shape
            return self._float(pen, "q", f"row * {rows * cols} + {joined(i, cols, j).text}", axes)
        if node.op == "position":
            return pen.writer.let("block.to(tl.float32)", pen.blocks, "position")
        if node.op == "random":
            return pen.writer.let(f"uniform(folded({self._noise(pen)}, block))", pen.blocks, "random")
        name = str(node.attr("name"))
        if name in POOLS:
            pool = pen.argument(POOLS[name], pointer(self.types.kv))
            base = stored_base(pen, pool, "ids")
            return self._float(pen, pool, f"{base} + ({i.text}) * {pool}_s + {j.text}", axes | pen.blocks)
        field = self.graph.field(name)
        pool = pen.argument(field_name(self.graph, name), pointer(field_dtype(self.graph, self.point, field)))
        if field.rows * field.cols == 1:
            return self._vector(pen, pool, "head * P + own_ids")
        base = field_base(pen, field, "ids")
        return self._float(pen, pool, f"{base} + {joined(i, field.cols, j).text}", axes | pen.blocks)

    def narrow(self, node: Node) -> bool:
        name = str(node.attr("name"))
        if node.op == "input":
            return self.types.query == "bfloat16"
        return (self.types.kv if name in POOLS else field_dtype(self.graph, self.point, self.graph.field(name))) in NARROW

    def _noise(self, pen: NodePen) -> str:
        for name, type_ in (("seeds", "*i64"), ("lens", "*i32"), ("layer", "i32")):
            pen.argument(name, type_)
        key = "tl.full((), 0, tl.int64)"
        for part in ("tl.load(seeds + request)", "tl.load(lens + request)", "tl.full((), 0, tl.int64) + layer", "head"):
            key = pen.writer.let(f"folded({key}, {part})", frozenset(), ("noise", part)).text
        return key

    def kept(self, pen: NodePen, node: int, i: Index, j: Index) -> Tile | None:
        rows, cols = pen.shape(node)
        if node in self.left.blocks and pen.block is not None:
            name = pen.argument(self.left.blocks[node], "*fp32")
            if rows * cols == 1:
                return self._vector(pen, name, "row * N + own")
            return self._float(pen, name, f"(row * N + block) * {rows * cols} + {joined(i, cols, j).text}",
                               i.axes | j.axes | pen.blocks)
        if node in self.left.rows:
            name = pen.argument(self.left.rows[node], "*fp32")
            return self._float(pen, name, f"row * {rows * cols} + {joined(i, cols, j).text}", i.axes | j.axes)
        return None

    def statistic(self, pen: NodePen, node: Node, which: int, i: Index, j: Index) -> Tile:
        """Statistics of a row lie side by side: [R, which, rows * cols]."""
        index = next(index for index in self.left.statistics if pen.nodes[index] is node)
        name = pen.argument(self.left.statistics[index], "*fp32")
        rows, cols = pen.shape(node.args[0])
        both = 2 if node.op == "softmax" else 1
        return self._float(pen, name, f"(row * {both} + {which}) * {rows * cols} + {joined(i, cols, j).text}", i.axes | j.axes)

    def neighbour(self, pen: NodePen, node: int, back: int, i: Index, j: Index) -> Tile:
        name = pen.argument(self.left.blocks[node], "*fp32")
        rows, cols = pen.shape(node)
        axes = i.axes | j.axes | pen.blocks
        text = pen.loaded(name, f"(row * N + block - {back}) * {rows * cols} + {joined(i, cols, j).text}", axes,
                          [f"(block - {back} >= {self.point.block_reserved_bos})"])
        return pen.writer.let(text, axes)

    def _vector(self, pen: NodePen, pointer_: str, offset: str) -> Tile:
        """One number a block: as a tile of more dimensions, each thread would read what its neighbours read too."""
        return pen.writer.let(f"tl.load({pointer_} + {offset}, mask=own < end, other=0.0).to(tl.float32){{AX0}}", pen.blocks)

    def _float(self, pen: NodePen, pointer_: str, offset: str, axes: frozenset[object]) -> Tile:
        return pen.writer.let(f"{pen.loaded(pointer_, offset, axes)}.to(tl.float32)", axes)  # type: ignore[arg-type]


def stored_base(pen: NodePen, pool: str, block: str) -> str:
    """Where a block of k or v begins."""
    for name, type_ in ((f"{pool}_h", "i64"), (f"{pool}_p", "i64"), (f"{pool}_s", "i32")):
        pen.argument(name, type_)
    axes = pen.blocks if block == "ids" else frozenset()
    return pen.writer.let(f"head * {pool}_h + {block} * {pool}_p", axes, ("base", pool)).text


def field_base(pen: NodePen, field: Field, block: str) -> str:
    """Where a block of a field or state begins."""
    axes = pen.blocks if block == "ids" else frozenset()
    return pen.writer.let(f"(head * P + {block}) * {field.rows * field.cols}", axes, ("base", field.name, "field")).text


def load_parameter(pen: NodePen, graph: Graph, node: Node, i: Index, j: Index) -> Tile:
    """Of the layer that runs: [heads or 1, rows, cols], by a stride of 0 where all heads share it."""
    number = [p.digest for p in graph.parameters].index(node.attr("digest"))
    name = pen.argument(f"param_{number}", "*fp32")
    pen.argument(f"param_{number}_h", "i32")
    text = pen.loaded(name, f"head * {name}_h + {joined(i, node.type.cols, j).text}", i.axes | j.axes)
    return pen.writer.let(text, i.axes | j.axes)
