"""The contract of a flow: what it may say, under which name it is known."""
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from vortex.errors import FlowContractError
from vortex.ir import Geometry, Parameter

Flow = TypeVar("Flow", bound="type[vFlow]")


class vFlow:
    """A sparse-attention program: summaries of each completed block, and a score of each block at every decode step.

    Bodies run once, on symbols. `q` is [row, group, head_dim], the query after RoPE; `cache["k"]` and `cache["v"]` are
    [block, block_size, head_dim], keys after RoPE. Sizes: self.block_size, self.head_dim, self.group, x.shape.
    """

    flow_name: ClassVar[str] = ""
    flow_aliases: ClassVar[tuple[str, ...]] = ()
    flow_text: ClassVar[str] = ""
    flow_folder: ClassVar[Path | None] = None                      # where its parameter files lie
    flow_parameters: ClassVar[tuple[Parameter, ...]] = ()          # known ones, which need no file
    flow_guard: ClassVar[Any] = None     # bounds the Python of a flow that was loaded from untrusted text

    def __init__(self, geometry: Geometry) -> None:
        self.block_size = geometry.block_size
        self.head_dim = geometry.head_dim
        self.group = geometry.group

    def create_cache(self, block_size: int, head_dim: int) -> Any:
        """Optional: {field: (rows, cols)} of every summary and state, checked against what is written."""
        return None

    def forward_cache(self, cache: Any) -> None:
        """Once for every completed block: `cache["c"] = x` keeps a summary. Optional."""

    def forward_indexer(self, q: Any, cache: Any) -> Any:
        """Every decode step: scores the blocks and returns one Selection, ops.topk(score)."""
        raise FlowContractError("the flow has no forward_indexer(self, q, cache)")


class vFlowMLA(vFlow):
    """A flow for latent attention: `q` is the absorbed query, `cache["latent"]` is [block, block_size, latent_dim].

    Latents are rows [kv_lora_rank | qk_rope_head_dim]; there is one kv head, and self.group counts all query heads.
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(geometry)
        self.latent_dim = geometry.head_dim
        self.kv_lora_rank = geometry.kv_lora_rank
        self.qk_rope_head_dim = geometry.qk_rope_head_dim

    def create_cache(self, block_size: int, kv_lora_rank: int, qk_rope_head_dim: int) -> Any:  # type: ignore[override]
        """Optional: {field: (rows, cols)} of every summary and state, checked against what is written."""
        return None


def register(name: str, *aliases: str) -> Callable[[Flow], Flow]:
    """Gives a flow its name, and further names under which it is known."""
    def named(flow: Flow) -> Flow:
        flow.flow_name = name
        flow.flow_aliases = aliases
        return flow
    return named
