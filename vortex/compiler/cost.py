"""What a decode step reads and computes, by arithmetic: bytes of K, V, summaries and state, and operations."""
from dataclasses import dataclass

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


@dataclass(frozen=True)
class _Work:
    """Blocks that one decode step attends and scores, over all layers and kv heads."""

    tokens: int
    scored: int
    scored_rows: int


def cost(graph: Graph | None, point: OperatingPoint, geometry: Geometry, shape: Shape) -> Cost:
    """The cost of `graph` (None: dense attention) at `point`; rows that fit their budget score nothing."""
    work = _work(() if graph is None else rules(graph), point, shape)
    kv_bytes = work.tokens * stored_bytes(geometry, shape.kv_itemsize_bytes)
    operations = 2 * geometry.group * (geometry.head_dim + (geometry.kv_lora_rank or geometry.head_dim)) * work.tokens
    if graph is None:
        return Cost(kv_bytes=kv_bytes, index_bytes=0, operations=operations, index_bytes_per_block=0, widest_bytes=0)
    per_block = sum(find(n.op).operations([graph.indexer[a].type for a in n.args], n.type)
                    for n in graph.indexer if n.type.lead is Lead.BLOCK)
    index_bytes = work.scored * _block_bytes(graph, point, shape) + work.scored_rows * _parameter_bytes(graph)
    blocks = num_blocks(shape.context, point.block_size)
    widest = max((n.type.rows * n.type.cols * (blocks if n.type.lead is Lead.BLOCK else 1)
                  for n in (*graph.indexer, *graph.cache)), default=0)
    return Cost(
        kv_bytes=kv_bytes, index_bytes=index_bytes // point.renew_every,
        operations=operations + work.scored * per_block // point.renew_every,
        index_bytes_per_block=field_bytes(graph, point),
        widest_bytes=4 * widest,
    )


def _work(asked: tuple[Rule, ...], point: OperatingPoint, shape: Shape) -> _Work:
    """Without rules every layer is dense."""
    blocks = num_blocks(shape.context, point.block_size)
    tokens = scored = scored_rows = 0
    for head in range(shape.kv_heads):
        selected = blocks
        for layer in range(shape.layers):
            mode = point.mode(layer) if asked else "dense"
            if mode == "select":
                allowed = budget(blocks, point, layer, head)
                selected = most_attended(asked, blocks, allowed, point)
                if not fits(asked, blocks, allowed, point.block_reserved_bos + point.block_reserved_eos):
                    scored += blocks - point.block_reserved_eos
                    scored_rows += 1
            taken = blocks if mode == "dense" else selected
            tokens += min(taken * point.block_size, shape.context)
    return _Work(tokens, scored, scored_rows)


def most_attended(asked: tuple[Rule, ...], blocks: int, allowed: int, point: OperatingPoint) -> int:
    """Blocks that a row of `blocks` blocks attends at most, where the point allows `allowed`."""
    reserved = point.block_reserved_bos + point.block_reserved_eos
    if fits(asked, blocks, allowed, reserved):
        return blocks
    return min(blocks, reserved + sum(rule.most(allowed, reserved) for rule in asked))


def _block_bytes(graph: Graph, point: OperatingPoint, shape: Shape) -> int:
    """Read while scoring a block: its fields and state, and whole keys or values where the flow reads them."""
    read = {str(n.attr("name")) for n in graph.indexer if n.op in ("field", "state")}
    own = field_bytes(graph, point, tuple(f for f in graph.fields if f.name in read))
    own += field_bytes(graph, point, graph.states)                               # state is written back as well
    whole = len(read & set(WHOLE)) + any(n.op == "mass" for n in graph.indexer)
    return own + whole * graph.geometry.block_size * graph.geometry.head_dim * shape.kv_itemsize_bytes


def _parameter_bytes(graph: Graph) -> int:
    """Read once for a row: the constants of its layer and kv head."""
    sizes = {n.attr("digest"): n.type.rows * n.type.cols for n in graph.indexer if n.op == "param"}
    return sum(sizes.values()) * PARAMETER_BYTES
