"""The few kernels of sglang-kernel that a dense Qwen3 in 16 bits asks for on CUDA, in torch; every other name raises when called.

For machines that 380 MB of wheel cannot be brought to. What SGLang compiles itself (rotary embedding, activation, writing of
keys and values) stays its own. Tensors are [tokens, hidden]; numbers are those of the formulas to one rounding.
"""
import importlib

import torch
import torch.nn.functional as functional
from _stand_in import stand_in


def rmsnorm(input: torch.Tensor, weight: torch.Tensor, eps: float = 1e-6, out: torch.Tensor | None = None,
            enable_pdl: bool | None = None) -> torch.Tensor:
    """input / rms(input) * weight."""
    normed = functional.rms_norm(input, (input.shape[-1],), weight, eps)
    return normed if out is None else out.copy_(normed)


def fused_add_rmsnorm(input: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor, eps: float = 1e-6,
                      enable_pdl: bool | None = None) -> None:
    """In place: residual += input, then input = rmsnorm(residual)."""
    residual.add_(input)
    input.copy_(functional.rms_norm(residual, (residual.shape[-1],), weight, eps))


def silu_and_mul(input: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    """silu of the first half of the channels times the second half."""
    gate, up = input.float().chunk(2, dim=-1)
    product = (functional.silu(gate) * up).to(input.dtype)
    return product if out is None else out.copy_(product)


def _no_dependent_launch() -> bool:
    return False


stand_in(__name__)
importlib.import_module("sgl_kernel.utils").is_arch_support_pdl = _no_dependent_launch
