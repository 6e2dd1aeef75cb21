"""Seeded sampling on a CPU: SGLang's deterministic inference asks for batch-invariant kernels, which only GPUs have.

Its sampler draws by seeds in plain torch. Without those kernels a request's logits may differ by a rounding between batches.
"""
from collections.abc import Callable
from typing import Any

import torch
from sglang.srt.plugins.hook_registry import HookRegistry, HookType
from sglang.srt.utils import is_cpu

KERNELS = "sglang.srt.model_executor.model_runner.ModelRunner.maybe_enable_batch_invariant_mode"
DRAW = "sglang.srt.layers.sampler.multinomial_with_seed"


def install_seeds() -> None:
    """Where there is a GPU nothing changes."""
    if is_cpu():
        HookRegistry.register(KERNELS, _plain, HookType.REPLACE)
        HookRegistry.register(DRAW, _eager, HookType.AROUND)


def _plain(runner: Any) -> None:
    """Leaves torch's own products in place."""


def _eager(draw: Callable[..., torch.Tensor], *given: Any, **named: Any) -> torch.Tensor:
    """Compiling the draw would want a C++ compiler, and Triton, to save nothing."""
    with torch.compiler.set_stance("force_eager"):
        return draw(*given, **named)
