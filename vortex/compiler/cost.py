"""What a decode step reads and computes, by arithmetic: bytes of K, V, summaries and state, and operations."""
from dataclasses import dataclass, fields

from vortex.budget import budget, num_blocks
from vortex.compiler.bits import DTYPE_BITS, field_bytes
from vortex.compiler.selection import Rule, fits, rules
from vortex.config import OperatingPoint
from vortex.ir import Geometry, Graph, Lead
from vortex.language.ops.record import find

ITEMSIZE = {name: bits // 8 for name, bits in DTYPE_BITS.items()}
PARAMETER_BYTES = 4
WHOLE = ("k", "v", "latent")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The model and the context a cost is asked for: one request of `context` tokens."""

    context: int
    layers: int
    kv_heads: int
    kv_itemsize_bytes: int = 4


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Per request and decode step over all layers; a weight read is shared by a batch and not counted here.

    Between renewals nothing is scored: what scoring costs is spread over the steps. Top-p, thresholds and unions are
    counted at the most blocks they may take.
    """

    kv_bytes: int
    index_bytes: int
    operations: int
    index_bytes_per_block: int            # summaries and state of one block and kv head
    widest_bytes: int                     # the largest value alive while scoring one row

    @property
    def bytes_per_step(self) -> int:
        return self.kv_bytes + self.index_bytes


def stored_bytes(geometry: Geometry, itemsize_bytes: int = 4) -> int:
    """Of one token and kv head: its key and value, or its latent row."""
    return len(geometry.stored) * geometry.head_dim * itemsize_bytes


@dataclass(frozen=True, kw_only=True)
class Work:
    """Of one request in one decode step, over its kv heads and over the layers that were added up."""

    tokens: int = 0                       # attended
    listed: int = 0                       # blocks attended
    chosen: int = 0                       # of those, blocks of rows that were scored
    scored: int = 0                       # blocks
    scored_rows: int = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(Work)})


def cost(graph: Graph | None, point: OperatingPoint, geometry: Geometry, shape: Shape) -> Cost:
    """The cost of `graph` (None: dense attention) at `point`; rows that fit their budget score nothing."""
    work = step_work(() if graph is None else rules(graph), point, shape)
    kv_bytes = work.tokens * stored_bytes(geometry, shape.kv_itemsize_bytes)
    operations = 2 * geometry.group * (geometry.head_dim + (geometry.kv_lora_rank or geometry.head_dim)) * work.tokens
    if graph is None:
        return Cost(kv_bytes=kv_bytes, index_bytes=0, operations=operations, index_bytes_per_block=0, widest_bytes=0)
    per_block = sum(block_operations(graph))
    read = sum(block_bytes(graph, point, shape.kv_itemsize_bytes).values())
    index_bytes = work.scored * read + work.scored_rows * parameter_bytes(graph)
    blocks = num_blocks(shape.context, point.block_size)
    widest = max((n.type.rows * n.type.cols * (blocks if n.type.lead is Lead.BLOCK else 1)
                  for n in (*graph.indexer, *graph.cache)), default=0)
    return Cost(
        kv_bytes=kv_bytes, index_bytes=index_bytes // point.renew_every,
        operations=operations + work.scored * per_block // point.renew_every,
        index_bytes_per_block=field_bytes(graph, point),
        widest_bytes=4 * widest,
    )


def step_work(asked: tuple[Rule, ...], point: OperatingPoint, shape: Shape) -> Work:
    """Of all layers. Without rules every layer is dense; a layer that reuses attends the last one's lists."""
    dense = layer_work((), point, shape, 0)
    total, selected = Work(), dense
    for layer in range(shape.layers):
        mode = point.mode(layer) if asked else "dense"
        if mode == "select":
            selected = layer_work(asked, point, shape, layer)
        taken = dense if mode == "dense" else selected
        total += taken if mode == "select" else Work(tokens=taken.tokens, listed=taken.listed)
    return total


def layer_work(asked: tuple[Rule, ...], point: OperatingPoint, shape: Shape, layer: int) -> Work:
    """Of one layer that selects by the rules `asked`; of a dense one without any."""
    blocks, total = num_blocks(shape.context, point.block_size), Work()
    for head in range(shape.kv_heads):
        allowed = budget(blocks, point, layer, head) if asked else blocks
        if not asked or fits(asked, blocks, allowed, point.block_reserved_bos + point.block_reserved_eos):
            total += Work(tokens=shape.context, listed=blocks)
            continue
        taken = most_attended(asked, blocks, allowed, point)
        total += Work(tokens=min(taken * point.block_size, shape.context), listed=taken, chosen=taken,
                      scored=blocks - point.block_reserved_eos, scored_rows=1)
    return total


def most_attended(asked: tuple[Rule, ...], blocks: int, allowed: int, point: OperatingPoint) -> int:
    """Blocks that a row of `blocks` blocks attends at most, where the point allows `allowed`."""
    reserved = point.block_reserved_bos + point.block_reserved_eos
    if fits(asked, blocks, allowed, reserved):
        return blocks
    return min(blocks, reserved + sum(rule.most(allowed, reserved) for rule in asked))


def block_bytes(graph: Graph, point: OperatingPoint, kv_itemsize_bytes: int) -> dict[str, int]:
    """Moved while scoring one block: `index` its summaries, `state` read and written, `kv` whole keys or values read."""
    read = {str(n.attr("name")) for n in graph.indexer if n.op in ("field", "state")}
    whole = len(read & set(WHOLE)) + any(n.op == "mass" for n in graph.indexer)
    last = tuple(f for f in graph.states if f.name in read)
    return {"index": field_bytes(graph, point, tuple(f for f in graph.summaries if f.name in read)),
            "state": field_bytes(graph, point, last) + field_bytes(graph, point, graph.states),
            "kv": whole * graph.geometry.block_size * graph.geometry.head_dim * kv_itemsize_bytes}


def block_operations(graph: Graph) -> tuple[int, int]:
    """Of scoring one block: those of matrix products, and all others."""
    products = others = 0
    for node in graph.indexer:
        if node.type.lead is Lead.BLOCK:
            count = find(node.op).operations([graph.indexer[a].type for a in node.args], node.type)
            products, others = (products + count, others) if node.op == "matmul" else (products, others + count)
    return products, others


def parameter_bytes(graph: Graph) -> int:
    """Read once for a row: the constants of its layer and kv head."""
    sizes = {n.attr("digest"): n.type.rows * n.type.cols for n in graph.indexer if n.op == "param"}
    return sum(sizes.values()) * PARAMETER_BYTES
