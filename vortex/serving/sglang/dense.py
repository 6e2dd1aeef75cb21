"""The engine's own attention for prefill, dense layers and dense steps."""
from sglang.srt.layers.attention.attention_registry import ATTENTION_BACKENDS
from sglang.srt.layers.attention.base_attn_backend import AttentionBackend
from sglang.srt.model_executor.model_runner import ModelRunner


def dense_backend(runner: ModelRunner) -> AttentionBackend:
    """What SGLang would take for the model on this device."""
    backend: AttentionBackend = ATTENTION_BACKENDS["torch_native"](runner)
    return backend
