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
    flow_path: ClassVar[str] = ""
    flow_upstream: ClassVar[bool] = False                          # written in the upstream's spelling
    flow_evaluator: ClassVar[Any] = None                           # runs a flow that was loaded from untrusted text

    def __init__(self, geometry: Geometry) -> None:
        self.block_size = geometry.block_size
        self.head_dim = geometry.head_dim
        self.group = geometry.group

    @classmethod
    def source_path(cls) -> str:
        """The file it is written in, or a name for it."""
        return cls.flow_path or cls.forward_indexer.__code__.co_filename

    @classmethod
    def first_line(cls, method: str) -> int:
        return int(getattr(cls, method).__code__.co_firstlineno)

    @classmethod
    def last_line(cls) -> int:
        """Where forward_indexer ends."""
        lines = cls.forward_indexer.__code__.co_lines()
        return max(line for _, _, line in lines if line is not None)

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
