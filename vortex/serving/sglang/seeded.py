"""Seeded sampling on a CPU: SGLang's deterministic inference asks for batch-invariant kernels, which only GPUs have.

Its sampler needs none of them to draw by seeds. Without them a request's logits may differ by a rounding between batches.
"""
from typing import Any

import torch
from sglang.srt.plugins.hook_registry import HookRegistry, HookType
from sglang.srt.utils import is_cpu

from vortex.serving.sglang.draws import draw_hash

KERNELS = "sglang.srt.model_executor.model_runner.ModelRunner.maybe_enable_batch_invariant_mode"
HASH = "sglang.srt.layers.sampler.murmur_hash32"


def install_seeds() -> None:
    """Where there is a GPU nothing changes."""
    if not is_cpu():
        return
    HookRegistry.register(KERNELS, _plain, HookType.REPLACE)
    if not hasattr(torch.ops.sgl_kernel, "murmur_hash32_cpu"):
        HookRegistry.register(HASH, draw_hash, HookType.REPLACE)


def _plain(runner: Any) -> None:
    """Leaves torch's own products in place."""
