"""What the engine tells SGLang when it starts it."""
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vortex.serving.checkpoint import Checkpoint, ModelShape

PAGE = 16                                 # tokens
CPU_KV_BYTES = 1 << 30
CPU_TOKENS = 1 << 17
LEAST_CONTEXT = 16_384                    # tokens: decode is timed there whatever a small model was made for
FLOAT32 = 4


@dataclass(frozen=True, kw_only=True)
class SglangOptions:
    """SGLang's own arguments by shorter names; None leaves one to SGLang, or to what a CPU wants.

    `page_size` holds for points that name none and whose blocks fit. `deterministic` is SGLang's mode in which the seeds of
    draws hold; None: on a CPU, where it costs nothing. `reserve` is the memory kept for summaries, as a share of that of keys
    and values. `more` is given to SGLang as it is.
    """

    page_size: int = PAGE
    max_running_requests: int = 32
    max_total_tokens: int | None = None
    chunked_prefill_size: int | None = None
    overlap: bool = True
    deterministic: bool | None = None
    tp_size: int = 1
    dtype: str | None = None
    mem_fraction: float | None = None
    reserve: float = 0.125
    more: Mapping[str, Any] = field(default_factory=dict)

    def page(self, block_size: int, asked: int | None) -> int:
        """Tokens of a page that holds whole blocks."""
        return asked or max(block_size, self.page_size)

    def arguments(self, checkpoint: Checkpoint, page: int) -> dict[str, Any]:
        """For the host: those that hold everywhere, None where the device decides; and those for a CPU."""
        shape = checkpoint.shape
        # Latent attention scales its rotary positions by the length that a model was made for.
        short = shape.max_tokens < LEAST_CONTEXT and not shape.kv_lora_rank
        longer = {"max_position_embeddings": LEAST_CONTEXT} if short else {}
        everywhere = {
            "model_path": checkpoint.path, "page_size": page, "max_running_requests": self.max_running_requests,
            "max_total_tokens": self.max_total_tokens, "chunked_prefill_size": self.chunked_prefill_size,
            "disable_overlap_schedule": not self.overlap, "enable_deterministic_inference": self.deterministic,
            "tp_size": self.tp_size, "dtype": self.dtype, "mem_fraction_static": self.mem_fraction,
            "json_model_override_args": json.dumps(longer), **self.more}
        on_cpu = {"device": "cpu", "dtype": "float32", "mem_fraction_static": 0.3, "enable_deterministic_inference": True,
                  "sleep_on_idle": True,  # an engine that waits leaves the cores to whoever asks it
                  "max_total_tokens": min(CPU_TOKENS, CPU_KV_BYTES // token_bytes(shape)) // page * page}
        return {"everywhere": everywhere, "on_cpu": on_cpu}


def token_bytes(shape: ModelShape) -> int:
    """Of keys and values in float32."""
    return FLOAT32 * shape.layers * shape.kv_heads * shape.head_dim * (1 if shape.kv_lora_rank else 2)
