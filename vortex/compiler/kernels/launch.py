"""Launches the texts of a flow: every argument is found by its name."""
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
import triton

from vortex.compiler.kernels.attention_shape import processors_of
from vortex.compiler.kernels.generate import Text
from vortex.compiler.kernels.modules import module_of

PROGRAMS_PER_PROCESSOR = 8


@cache
def interpreted() -> bool:
    """Do kernels run under Triton's interpreter in this process?"""
    return bool(triton.knobs.runtime.interpret)


def programs(items: int, device: torch.device) -> int:
    """A grid that fills the chip and walks over so many items; under the interpreter a few programs walk as well."""
    return max(1, min(items, 3 if device.type == "cpu" else PROGRAMS_PER_PROCESSOR * processors_of(device)))


class Launcher:
    """One text on one device; its tables of indices lie there once."""

    def __init__(self, text: Text, device: torch.device) -> None:
        self._text = text
        # bfloat16 products are wrong under the interpreter: there they are taken in float32.
        self._constants = {name: interpreted() if name == "UPCAST" else value for name, value in text.constants.items()}
        self._function: Callable[..., Any] = getattr(module_of(text.source), text.name)
        self._tables = {name: torch.tensor(numbers, dtype=torch.int32, device=device) for name, numbers in text.tables.items()}

    def __call__(self, grid: Sequence[int], values: Mapping[str, object]) -> None:
        arguments = [self._tables[name] if name in self._tables else values[name] for name in self._text.arguments]
        # The reference rounds every product and sum: a fused one could take a root of what is 0 there and below 0 here.
        launch = self._function[tuple(grid)]  # type: ignore[index]  # Triton's function is indexed by its grid
        launch(*arguments, **self._constants, num_warps=self._text.warps, enable_fp_fusion=False)
