"""The engine's own attention for prefill, dense layers and dense steps."""
import os
from typing import Any

import torch
from sglang.srt.arg_groups.model_override_base import get_default_attn_backend
from sglang.srt.layers.attention.attention_registry import ATTENTION_BACKENDS
from sglang.srt.layers.attention.base_attn_backend import AttentionBackend
from sglang.srt.layers.radix_attention import RadixAttention
from sglang.srt.model_executor.forward_batch_info import ForwardBatch
from sglang.srt.model_executor.model_runner import ModelRunner
from sglang.srt.models.deepseek_common.utils import FORWARD_ABSORB_CORE_ATTENTION_BACKENDS

from vortex.errors import EngineError
from vortex.language.calls import nearest

VARIABLE = "VORTEX_DENSE_BACKEND"         # one of SGLang's, in place of its choice


class Dense:
    """SGLang's backend for the model, called as SGLang's models call it.

    Backends that take the two parts of a latent query and key one by one are given them so: models hand ours, whose name is
    not on their list, both side by side.
    """

    def __init__(self, name: str, backend: AttentionBackend, rank: int) -> None:
        self.name = name
        self.backend = backend
        self._rank = rank if name in FORWARD_ABSORB_CORE_ATTENTION_BACKENDS else 0

    def extend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, layer: RadixAttention,
               forward_batch: ForwardBatch, save: bool, **kwargs: Any) -> torch.Tensor:
        q, k, v, parts = self._parted(q, k, v, layer)
        out: torch.Tensor = self.backend.forward_extend(q, k, v, layer, forward_batch, save, **parts, **kwargs)
        return out

    def decode(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, layer: RadixAttention,
               forward_batch: ForwardBatch, save: bool, **kwargs: Any) -> torch.Tensor:
        q, k, v, parts = self._parted(q, k, v, layer)
        out: torch.Tensor = self.backend.forward_decode(q, k, v, layer, forward_batch, save, **parts, **kwargs)
        return out

    def _parted(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, layer: RadixAttention) -> tuple[Any, Any, Any, Any]:
        rank = self._rank
        if not rank or layer.qk_head_dim == layer.v_head_dim:
            return q, k, v, {}
        q, k = q.view(-1, layer.tp_q_head_num, layer.qk_head_dim), k.view(-1, layer.tp_k_head_num, layer.qk_head_dim)
        latent = k[..., :rank].contiguous()
        return q[..., :rank].contiguous(), latent, latent, {"q_rope": q[..., rank:].contiguous(),
                                                            "k_rope": k[..., rank:].contiguous()}


def dense_name(runner: ModelRunner) -> str:
    """Raises EngineError for a name that SGLang does not know."""
    wanted = os.environ.get(VARIABLE, "")
    if not wanted and torch.device(runner.device).type == "cpu":
        return "torch_native"
    if not wanted:
        found = str(get_default_attn_backend(runner.server_args, runner.use_mla_backend, runner.model_config))
        # As SGLang does where it takes this one by itself: of FP8 it reads e4m3 alone.
        return "triton" if found == "fa3" and runner.kv_cache_dtype == torch.float8_e5m2 else found
    if wanted not in ATTENTION_BACKENDS:
        raise EngineError(f"SGLang has no attention backend {wanted!r}, which {VARIABLE} names",
                          hint=nearest(wanted, sorted(ATTENTION_BACKENDS)))
    return wanted


def dense_of(runner: ModelRunner, rank: int) -> Dense:
    """What SGLang would take for the model on this device; with latent attention `rank` is kv_lora_rank, else 0."""
    name = dense_name(runner)
    return Dense(name, ATTENTION_BACKENDS[name](runner), rank)


def check_scales(runner: ModelRunner) -> None:
    """That keys and values lie in the pool as they are. Raises EngineError where a checkpoint scales them for its FP8 cache."""
    for layer in runner.model.modules() if runner.kv_cache_dtype.itemsize == 1 else ():
        if isinstance(layer, RadixAttention) and {layer.k_scale_float, layer.v_scale_float} - {None, 1.0}:
            raise EngineError("the checkpoint scales the keys and values of its FP8 KV cache, which flows do not read",
                              hint="Start the server with --kv-cache-dtype bf16, or without --quantization-param-path.")
