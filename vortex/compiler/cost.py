"""What a decode step reads and computes, by arithmetic: bytes of K, V, summaries and state, and operations."""
from dataclasses import dataclass

from vortex.budget import attended, num_blocks
from vortex.config import OperatingPoint
from vortex.ir import Field, Geometry, Graph, Lead
from vortex.language.ops.record import find

ITEMSIZE = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The model and the context a cost is asked for: one request of `context` tokens."""

    context: int
    layers: int
    kv_heads: int
    kv_itemsize_bytes: int = 4


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Per request and decode step over all layers; a weight read is shared by a batch and not counted here."""

    kv_bytes: int
    index_bytes: int
    operations: int
    index_bytes_per_block: int            # summaries and state of one block and kv head
    widest_bytes: int                     # the largest value alive while scoring one row

    @property
    def bytes_per_step(self) -> int:
        return self.kv_bytes + self.index_bytes


def field_bytes(fields: tuple[Field, ...], point: OperatingPoint) -> int:
    """Bytes that `fields` take per block and kv head."""
    return sum(f.rows * f.cols for f in fields) * ITEMSIZE[point.dtype]


def _read_fields(graph: Graph) -> set[str]:
    return {str(n.attr("name")) for n in graph.indexer if n.op in ("field", "state")}


def _index_bytes(graph: Graph, point: OperatingPoint, shape: Shape, blocks: int) -> int:
    """Read while scoring: fields and state of every scored block, and whole keys or values where the flow reads them."""
    read = _read_fields(graph)
    own = field_bytes(tuple(f for f in graph.fields if f.name in read), point)
    own += field_bytes(graph.states, point)                                      # state is written back as well
    whole = len(read & {"k", "v"}) + any(n.op == "mass" for n in graph.indexer)
    kv = whole * graph.geometry.block_size * graph.geometry.head_dim * shape.kv_itemsize_bytes
    return (own + kv) * blocks


def cost(graph: Graph | None, point: OperatingPoint, geometry: Geometry, shape: Shape) -> Cost:
    """The cost of `graph` (None: dense attention) at `point`; rows that fit their budget score nothing."""
    blocks = num_blocks(shape.context, point.block_size)
    dense = graph is None or any(n.op == "everything" for n in graph.indexer)
    taken = blocks if dense else attended(blocks, point)
    skipped = len([layer for layer in point.layers_skip if layer < shape.layers])
    rows, token_bytes = shape.kv_heads, 2 * geometry.head_dim * shape.kv_itemsize_bytes
    selected = min(taken * point.block_size, shape.context)
    tokens = (shape.layers - skipped) * selected + skipped * shape.context
    operations = 4 * geometry.group * geometry.head_dim * tokens * rows
    if graph is None:
        return Cost(kv_bytes=tokens * rows * token_bytes, index_bytes=0, operations=operations,
                    index_bytes_per_block=0, widest_bytes=0)
    scored = 0 if dense or taken == blocks else blocks - point.block_reserved_eos
    per_block = sum(find(n.op).operations([graph.indexer[a].type for a in n.args], n.type)
                    for n in graph.indexer if n.type.lead is Lead.BLOCK)
    sparse_rows = (shape.layers - skipped) * rows
    widest = max((n.type.rows * n.type.cols for n in (*graph.indexer, *graph.cache)), default=0)
    return Cost(
        kv_bytes=tokens * rows * token_bytes,
        index_bytes=sparse_rows * _index_bytes(graph, point, shape, scored),
        operations=operations + sparse_rows * scored * per_block,
        index_bytes_per_block=field_bytes(graph.fields, point),
        widest_bytes=4 * widest * blocks,
    )
