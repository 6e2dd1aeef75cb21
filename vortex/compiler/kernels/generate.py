"""The texts of a flow's own kernels: `update` for completed blocks, `rows`, one `phase` a launch over blocks, and `score`.

Nothing here knows a flow: text comes from the op records, joined by fuse.py's plan.
"""
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from vortex.compiler.fuse import Fused, fuse
from vortex.compiler.kernels.kernel import Constant
from vortex.compiler.kernels.pen import MOST_NODES_DEEP, NodePen
from vortex.compiler.kernels.products import LEAST, pays
from vortex.compiler.kernels.sources import (
    TRITON_NAMES,
    BlockSource,
    Kept,
    RowSource,
    Types,
    field_base,
    field_dtype,
    field_name,
    pointer,
)
from vortex.compiler.kernels.writer import MOST_ELEMENTS, Writer, elements, fitting, masks
from vortex.config import OperatingPoint
from vortex.errors import CompileError
from vortex.ir import Graph, Node
from vortex.language.kernel import Axis, Index, Tile, along, at, joined

HEADER = """import triton
import triton.language as tl

from vortex.compiler.kernels.numbers import (
    add_product, as_bf16, as_fp8_e4m3, as_fp8_e5m2, as_fp16, as_whole, folded, larger, on_scale, smaller, stands_before,
    uniform,
)
"""
LIMIT = 8192                              # numbers of a tile: 64 registers a thread of four warps
BLOCKS_AT_ONCE = (64, 32, 16, 8, 4, 2, 1)
LEAST_CHUNK = 32                          # blocks of one work item
CALLS_A_NODE = 12                         # of Python, one inside the other


@dataclass(frozen=True, kw_only=True)
class Text:
    """A kernel's text with what it is launched with; `tables` are constants that it reads by index."""

    name: str
    body: str
    arguments: Mapping[str, str]
    tables: Mapping[str, tuple[int, ...]]
    blocks: int = 1                       # of a row that it treats at once
    widest: int = 1
    covers: tuple[str, ...] = ()
    note: str = ""
    warps_least: int = 1
    header: str = HEADER
    constants: Mapping[str, Constant] = field(default_factory=dict)

    @property
    def source(self) -> str:
        arguments = ", ".join([*self.arguments, *(f"{name}: tl.constexpr" for name in self.constants)])
        return f"{self.header}\n\n@triton.jit\ndef {self.name}({arguments}):\n{self.body}\n"

    @property
    def warps(self) -> int:
        own = 8 if self.widest > LIMIT else 4 if self.widest > LIMIT // 16 else 2 if self.widest > 256 else 1
        return max(own, self.warps_least)


@dataclass(frozen=True, kw_only=True)
class Texts:
    """All kernels that a flow alone has."""

    fused: Fused
    update: Text | None
    rows: Text | None
    phases: tuple[Text, ...]
    score: Text | None
    kept: Kept

    @property
    def chunk(self) -> int:
        """Blocks of one work item, a multiple of what every kernel treats at once."""
        return max(LEAST_CHUNK, *(text.blocks for text in (*self.phases, self.score) if text is not None), 1)


def generate(graph: Graph, point: OperatingPoint, types: Types) -> Texts:
    """Raises CompileError for a flow that cannot be said in kernels."""
    with _deep():
        return _generate(graph, point, types)


@contextmanager
def _deep() -> Iterator[None]:
    """Room for a value that is MOST_NODES_DEEP ops deep."""
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(usual + CALLS_A_NODE * MOST_NODES_DEEP)
    try:
        yield
    finally:
        sys.setrecursionlimit(usual)


def _generate(graph: Graph, point: OperatingPoint, types: Types) -> Texts:
    fused = fuse(graph)
    kept = _left(fused)
    return Texts(
        fused=fused, kept=kept,
        update=_update(graph, point, types) if graph.writes or graph.states else None,
        rows=_rows(graph, point, types, fused, kept) if fused.rows else None,
        phases=tuple(_over_blocks(graph, point, types, kept, f"phase_{at}", _keep(phase.keeps, kept), phase.keeps)
                     for at, phase in enumerate(fused.phases)),
        score=_over_blocks(graph, point, types, kept, "score", _finish(graph, point, fused, kept),
                           [*fused.scores, *(node for _, node in fused.saves)]) if fused.scores else None,
    )


def _left(fused: Fused) -> Kept:
    blocks = [*fused.mass, *(node for phase in fused.phases for node in phase.keeps)]
    return Kept(blocks={node: f"kept_{node}" for node in blocks}, rows={node: f"row_{node}" for node in fused.rows},
                statistics={node: f"overall_{node}" for phase in fused.phases for node in phase.statistics})


def _indices(pen: NodePen, rows: int, cols: int, limit: int) -> tuple[list[Axis], list[Axis]]:
    """Axes of a value that is stored: those that are there at once, and those in loops."""
    room, found = max(1, limit // elements(pen.blocks)), []
    widths = fitting((rows, cols), room, pen.least)
    slot = 1
    for size, width in zip((rows, cols), widths, strict=True):
        if size > 1:
            looped = width < size
            name = f"s{pen.writer.name()[1:]}" if looped else pen.index_name(slot, size, width)
            found.append(Axis(slot, size, width, name))
            slot += 1
    return [a for a in found if a.width >= a.extent], [a for a in found if a.width < a.extent]


def _each(pen: NodePen, shape: tuple[int, int], limit: int, do: Callable[[Index, Index], object], *, held: bool = False) -> None:
    """`do` at every index of a value of `shape`, in loops where it is large. `held`: at once, or raises CompileError."""
    rows, cols = shape
    whole, looped = _indices(pen, rows, cols, limit)
    if held and looped:
        raise CompileError(f"a state of {rows * cols:,} numbers, made of what was saved before, does not fit on chip",
                           hint="Save less: a mean, or a slice of it.")
    for axis in whole:
        pen.writer.define(axis)
    places = {(axis.slot, axis.extent): along(axis) for axis in (*whole, *looped)}
    i = places[(1, rows)] if rows > 1 else at(0)
    j = places[(2 if rows > 1 else 1, cols)] if cols > 1 else at(0)
    _within(pen, looped, frozenset(pen.blocks), lambda: do(i, j))


def _within(pen: NodePen, loops: Sequence[Axis], around: frozenset[Axis], do: Callable[[], object]) -> None:
    if not loops:
        do()
        return
    with pen.writer.loop(loops[0], around):
        _within(pen, loops[1:], around | {loops[0]}, do)


def _store(pen: NodePen, name: str, offset: str, tile: Tile, places: tuple[Index, Index], cast: str = "") -> None:
    axes = places[0].axes | places[1].axes | pen.blocks
    mask = masks(axes - pen.blocks, ["here"] if pen.block is not None else [])
    # A tile that is the same along an axis is stored along all of it.
    value = tile.text if axes and axes == tile.axes else f"tl.zeros({pen.writer.shape(axes)}, tl.float32) + {tile.text}"
    value = f"({value}).to({cast})" if cast and cast != "tl.float32" else value
    # Of a single number the value has the dimensions of a tile: so must the place.
    place = offset if axes else f"{offset} + tl.zeros({pen.writer.shape(axes)}, tl.int32)"
    pen.writer.line(pen.writer.scope_of(axes), f"tl.store({name} + {place}, {value}" + (f", mask={mask})" if mask else ")"))


def _store_field(pen: NodePen, graph: Graph, point: OperatingPoint, name: str, of: Callable[[Index, Index], Tile],
                 block: str, limit: int) -> None:
    found = graph.field(name)
    dtype = field_dtype(graph, point, found)
    argument = pen.argument(field_name(graph, name), pointer(dtype))

    def do(i: Index, j: Index) -> None:
        base = field_base(pen, found, block)
        _store(pen, argument, f"{base} + {joined(i, found.cols, j).text}", pen.rounded(of(i, j)), (i, j), TRITON_NAMES[dtype])

    _each(pen, (found.rows, found.cols), limit, do)


UPDATE_LIMIT = 2 * LIMIT


def _update(graph: Graph, point: OperatingPoint, types: Types) -> Text:
    """One program a completed block and kv head: all summaries, and the first values of state."""
    writer = Writer(2)
    pen = NodePen(graph.cache, writer, BlockSource(graph, types), block=None, limit=UPDATE_LIMIT, dtype=point.dtype)
    pen.argument("done", "*i64")
    pen.argument("P", "i32")
    homes = dict(graph.writes)
    for name, node in graph.writes:
        _store_field(pen, graph, point, name, lambda i, j, node=node: pen.read(node, i, j), "block", UPDATE_LIMIT)  # type: ignore[misc]
    for state in graph.states:
        first = state.first
        if isinstance(first, str):
            _store_field(pen, graph, point, state.name, lambda i, j, node=homes[first]: pen.read(node, i, j), "block",  # type: ignore[misc]
                         UPDATE_LIMIT)
        else:
            _store_field(pen, graph, point, state.name, lambda i, j, value=first: Tile(repr(float(value)), literal=True),  # type: ignore[misc]
                         "block", UPDATE_LIMIT)
    body = "\n".join(("    block = tl.load(done + tl.program_id(0)).to(tl.int64)", "    head = tl.program_id(1).to(tl.int64)",
                      "    if block >= 0:", writer.text()))
    return _text("update", pen, body, _ops(graph.cache))


def _ops(nodes: Sequence[Node]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(node.op for node in nodes if node.args))


def _text(name: str, pen: NodePen, body: str, covers: tuple[str, ...], blocks: int = 1) -> Text:
    return Text(name=name, body=body, arguments=pen.arguments, constants=pen.constants, tables=pen.tables, blocks=blocks,
                widest=pen.writer.widest, covers=covers)


ROW_HEAD = """    row = tl.program_id(0).to(tl.int64)
    request = row // H
    head = row % H
    if tl.load(ends + row) > 0:"""


def _rows(graph: Graph, point: OperatingPoint, types: Types, fused: Fused, kept: Kept) -> Text:
    """One program a row: what is dear and the same for all its blocks. Of two such values the later may read the former."""
    writer = Writer(2)
    left: dict[int, str] = {}
    pen = NodePen(graph.indexer, writer, RowSource(graph, types, point, Kept({}, left, {})), block=None, limit=LIMIT,
                  dtype=point.dtype)
    for name, type_ in (("ends", "*i32"), ("H", "i32")):
        pen.argument(name, type_)
    for node in fused.rows:
        rows, cols = pen.shape(node)
        name = pen.argument(kept.rows[node], "*fp32")

        def do(i: Index, j: Index, node: int = node, name: str = name, size: tuple[int, int] = (rows, cols)) -> None:
            _store(pen, name, f"row * {size[0] * size[1]} + {joined(i, size[1], j).text}", pen.read(node, i, j), (i, j))

        _each(pen, (rows, cols), LIMIT, do)
        # The next value reads this one from memory, where threads of the program have put it.
        writer.line(writer.root, "tl.debug_barrier()")
        left[node] = name
        writer.root.known.clear()
    return _text("rows", pen, f"{ROW_HEAD}\n{writer.text()}", _ops([graph.indexer[node] for node in fused.rows]))


Finish = Callable[[NodePen], None]


def _keep(nodes: Sequence[int], kept: Kept) -> Finish:
    """Leaves the values of `nodes` for later launches."""
    def finish(pen: NodePen) -> None:
        for node in nodes:
            rows, cols = pen.shape(node)
            name = pen.argument(kept.blocks[node], "*fp32")

            def do(i: Index, j: Index, node: int = node, name: str = name, size: tuple[int, int] = (rows, cols)) -> None:
                offset = f"(row * N + block) * {size[0] * size[1]} + {joined(i, size[1], j).text}"
                _store(pen, name, offset, pen.read(node, i, j), (i, j))

            _each(pen, (rows, cols), LIMIT, do)
    return finish


def _remembers(graph: Graph, node: int, kept: Kept) -> bool:
    """Is a state read for it in this launch?"""
    return any(graph.indexer[index].op == "state" for index in _behind(graph.indexer, [node], kept))


def _finish(graph: Graph, point: OperatingPoint, fused: Fused, kept: Kept) -> Finish:
    """Writes the score of every rule, then the state."""
    def finish(pen: NodePen) -> None:
        scores = pen.argument("scores", "*fp32")
        for rule, node in enumerate(fused.scores):
            _store(pen, scores, f"({rule} * R + row) * N + block", pen.read(node, at(0), at(0)), (at(0), at(0)))
        if fused.saves:
            held = {node: _remembers(graph, node, kept) for _, node in fused.saves}
            limit = MOST_ELEMENTS if elements(pen.blocks) == 1 else LIMIT
            for node in (node for node, held_ in held.items() if held_):
                _each(pen, pen.shape(node), limit, lambda i, j, node=node: pen.read(node, i, j), held=True)  # type: ignore[misc]
            # A state may be made of another one's last value: all are read before any is written.
            pen.writer.line(pen.writer.scope_of(pen.blocks), "tl.debug_barrier()")
            for name, node in fused.saves:
                _store_field(pen, graph, point, name, lambda i, j, node=node: pen.read(node, i, j), "ids",  # type: ignore[misc]
                             limit if held[node] else LIMIT)
    return finish


WALK = """    for item in range(tl.program_id(0), tl.load(starts + R), tl.num_programs(0)):
        row = tl.load(items + 2 * item).to(tl.int64)
        first = tl.load(items + 2 * item + 1)
        request = row // H
        head = row % H
        end = tl.load(ends + row)"""
PART = """        for part in range(first, tl.minimum(first + CHUNK, end), {blocks}):
            own = part + tl.arange(0, {blocks})
            own_ids = tl.load(tables + request * N + own, mask=own < end, other=0).to(tl.int64)
            ids = own_ids{{AX0}}
            block = own{{AX0}}
            here = block < end
            middle = here & (block >= {bos})"""
WALKED = (("items", "*i32"), ("starts", "*i32"), ("ends", "*i32"), ("tables", "*i32"), ("R", "i32"), ("H", "i32"), ("N", "i32"),
          ("P", "i32"), ("CHUNK", "i32"))


def _over_blocks(graph: Graph, point: OperatingPoint, types: Types, kept: Kept, name: str, finish: Finish,
                 roots: Sequence[int]) -> Text:
    """One program a work item: as many blocks at once as keep its tiles small and free of loops."""
    behind = sorted(_behind(graph.indexer, roots, kept))
    covers, tensor_cores = _ops([graph.indexer[node] for node in behind]), pays(graph.indexer, behind)
    for blocks in BLOCKS_AT_ONCE:
        writer, own, block = Writer(2), set(roots), Axis(0, 1 << 30, blocks, "block")
        writer.over_blocks(block)
        left = Kept({n: k for n, k in kept.blocks.items() if n not in own or name == "score"}, kept.rows, kept.statistics)
        pen = NodePen(graph.indexer, writer, RowSource(graph, types, point, left),
                      block=block, limit=LIMIT, dtype=point.dtype)
        pen.least = LEAST if tensor_cores else 1
        for argument, type_ in WALKED:
            pen.argument(argument, type_)
        try:
            finish(pen)
        except CompileError:
            if blocks > 1:
                continue
            raise
        if blocks == 1 or (pen.loops == 0 and writer.widest <= LIMIT):
            break
    body = writer.text(PART.format(blocks=blocks, bos=point.block_reserved_bos))
    return _text(name, pen, f"{WALK}\n{body}", covers, blocks)


LAST = """        tl.debug_barrier()
        done = tl.atomic_add(tickets + row, 1, sem="acq_rel") + 1
        if done == tl.load(starts + row + 1) - tl.load(starts + row):
            tl.store(tickets + row, 0)
            select_row(scores, ends, most, blocks, counts, index, row, R, H, N, L)"""
FINISHING_WARPS = 4
SELECTED = {"tickets": "*i32", **dict.fromkeys(("most", "blocks", "counts", "index"), "*i32"), "L": "i32"}


def with_selection(score: Text, selection: str, rules: Sequence[str]) -> Text:
    """`score` that ends in `selection` (a text with select_row): whoever finishes a row's last work item selects."""
    return replace(score, warps_least=FINISHING_WARPS, body=f"{score.body}\n{LAST}", header=f"{HEADER}\n{selection}",
                   covers=(*score.covers, *rules), arguments={**score.arguments, **SELECTED},
                   note="the row fits on chip: its last work item selects")


def _behind(nodes: Sequence[Node], roots: Sequence[int], kept: Kept) -> set[int]:
    """The nodes that a launch computes for `roots`: not what an earlier one has left."""
    waiting, found = list(roots), set[int]()
    while waiting:
        index = waiting.pop()
        if index not in found:
            found.add(index)
            waiting.extend(a for a in nodes[index].args if (a not in kept.blocks or a in roots) and a not in kept.rows)
    return found
