"""What every compiled flow can do. A Program owns no memory: pools, tables, fields and state belong to the engine.

Letters of shapes: B requests, H kv heads, G query heads a kv head, D channels, P blocks of the pool, S tokens a block,
N blocks of the longest request of the batch, L entries of the longest list, M blocks completed in this step.
"""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vortex.config import OperatingPoint
from vortex.ir import Graph

if TYPE_CHECKING:
    import torch

    Fields = Mapping[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One decode step of a batch, the same for all layers: made once, on the host."""

    lens: tuple[int, ...]                 # tokens of each request, the one being decoded counted
    blocks: tuple[int, ...]               # n: blocks of each request
    tables: "torch.Tensor"                # int64 [B, N]: block ids of the pool; 0 beyond a request's blocks
    seeds: tuple[int, ...]                # one per request, for flows that draw at random


@dataclass(frozen=True, kw_only=True)
class Lists:
    """Which blocks each row attends, in ascending order of position, the last real block last.

    `index` int64 [B, H, L]: positions within the request (tables.gather turns them into block ids), 0 beyond `counts`.
    `counts` int64 [B, H].
    """

    index: "torch.Tensor"
    counts: "torch.Tensor"


class Program(Protocol):
    """A flow made runnable. k, v: float [H, P, S, D]; a field or state: [H, P, rows, cols]; q: [B, H, G, D].

    With latent attention `k` is the pool of latent rows (H is 1) and `v` is not read: values are their first
    kv_lora_rank channels, and attention gives as many. Raises EngineError for a layer that a parameter file lacks.
    """

    graph: Graph
    point: OperatingPoint

    def plan(self, lens: Sequence[int], tables: "torch.Tensor", seeds: Sequence[int]) -> Plan:
        """What the layers of a step share; what depends on a layer's budget is made when it is first asked for."""

    def fits(self, plan: Plan, layer: int) -> bool:
        """Does every row of the layer attend everything? Then there is nothing to select."""

    def update(self, fields: "Fields", state: "Fields", k: "torch.Tensor", v: "torch.Tensor",
               done_blocks: "torch.Tensor", layer: int = 0) -> None:
        """Writes the summaries of completed blocks (ids int64 [M], all heads) and begins their state anew."""

    def select(self, plan: Plan, q: "torch.Tensor", k: "torch.Tensor", v: "torch.Tensor", fields: "Fields",
               state: "Fields", layer: int) -> Lists:
        """Scores and takes; saves state of the rows and blocks that were scored. Rows that fit are listed whole."""

    def attend(self, plan: Plan, q: "torch.Tensor", k: "torch.Tensor", v: "torch.Tensor", lists: Lists | None,
               scale: float) -> "torch.Tensor":
        """Attention over the listed blocks, or over all of them where `lists` is None: [B, H, G, D]."""
