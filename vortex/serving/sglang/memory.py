"""What the summaries of a flow take beside the KV cache, counted before anything starts."""
import math
from dataclasses import dataclass

from vortex.config import OperatingPoint
from vortex.errors import EngineError
from vortex.ir import Graph
from vortex.serving.checkpoint import ModelShape
from vortex.serving.sglang.pools import SummaryShape

UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


@dataclass(frozen=True, kw_only=True)
class Demand:
    """Bytes that a token of the pool takes on one rank: `kv` of all layers that keep any, `index` of summaries and state."""

    kv: int
    index: int

    @property
    def share(self) -> float:
        """Of both together."""
        return self.index / max(1, self.kv + self.index)

    def tokens(self, room: int) -> int:
        """How many `room` bytes hold."""
        return room // max(1, self.kv + self.index)

    def told(self, tokens: int) -> str:
        """For people; `tokens` 0: not known yet."""
        total = f", {amount(tokens * self.index)} for {tokens} tokens" if tokens else ""
        return f"summaries take {self.index} bytes a token beside {self.kv} of keys and values ({self.share:.1%} of both){total}"


def demand(graph: Graph | None, point: OperatingPoint, shape: ModelShape, layers: frozenset[int], kv: int,
           reserve: float = 0.0) -> Demand:
    """With `layers` that select, `kv` bytes a token of the KV cache, and at least `reserve` as much for flows to come."""
    index = 0 if graph is None else index_bytes(graph, point, shape.kv_heads, len(layers))
    return Demand(kv=kv, index=max(index, math.ceil(reserve * kv)))


def index_bytes(graph: Graph, point: OperatingPoint, heads: int, layers: int) -> int:
    """Of summaries and state a token, rounded up. Kernels may pack some fields tighter."""
    block = SummaryShape(heads=heads, blocks=1, layers=frozenset(range(layers))).bytes(graph, point)
    return -(-block // point.block_size)


def kv_bytes(shape: ModelShape, layers: int, item: int) -> int:
    """A token's keys and values, or latent row, in `layers` layers; `item` bytes a number."""
    return layers * shape.kv_heads * shape.head_dim * item * (1 if shape.kv_lora_rank else 2)


def check_room(needed: Demand, room: int, tokens: int, least: int) -> None:
    """That `room` bytes hold `tokens` tokens with their summaries (0: as many as fit), `least` of them at any rate.

    Where keys and values alone would not fit SGLang takes fewer by itself. Raises EngineError.
    """
    fit = needed.tokens(room)
    wanted = tokens if tokens and tokens * needed.kv <= room else least
    if fit < wanted:
        raise EngineError(
            f"{wanted} tokens need {amount(wanted * needed.kv)} of keys and values and {amount(wanted * needed.index)} of "
            f"summaries; {amount(max(0, room))} are left for both, enough for {max(0, fit)} tokens",
            hint="Lower --max-total-tokens, raise --mem-fraction-static, keep summaries in bfloat16 (dtype of the point), or "
                 "let fewer layers select.")


def amount(size: float) -> str:
    """1536 -> 1.5 KiB."""
    unit, name = next(((unit, name) for unit, name in UNITS if size >= unit), (1, "bytes"))
    return f"{size / unit:.1f} {name}" if unit > 1 else f"{size:.0f} bytes"
