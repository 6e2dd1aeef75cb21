"""Draws that depend on a key alone, so that every way of running a flow sees the same numbers.

The finaliser is that of SplitMix64 (Steele, Lea and Flood, 2014), in wrapping 64-bit arithmetic.
"""
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import torch

Word64: TypeAlias = "int | torch.Tensor"     # a signed 64-bit number, or an int64 tensor of them

STEP = -0x61C8864680B583EB                   # 2**64 / golden ratio, as signed numbers
FIRST = -0x40A7B892E31B1A47
SECOND = -0x6B2FB644ECCEEE15
MANTISSA_BITS = 24


def wrapped(x: "Word64") -> "Word64":
    """Python's ints brought back to 64 signed bits, as int64 tensors do by themselves."""
    return ((x + (1 << 63)) & ((1 << 64) - 1)) - (1 << 63) if isinstance(x, int) else x


def _shifted(x: "Word64", bits: int) -> "Word64":
    """A logical shift to the right."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mixed(x: "Word64") -> "Word64":
    x = wrapped((x ^ _shifted(x, 30)) * FIRST)
    x = wrapped((x ^ _shifted(x, 27)) * SECOND)
    return x ^ _shifted(x, 31)


def noise_key(*parts: "Word64") -> "Word64":
    """Folds (seed, length, layer, kv head, block) into one key; parts are ints or int64 tensors that broadcast."""
    key: Word64 = 0
    for part in parts:
        key = _mixed(wrapped((key ^ wrapped(part)) + STEP))
    return key


def uniform(key: "torch.Tensor") -> "torch.Tensor":
    """float32 in [0, 1), 24 bits of it, one for each key."""
    return _shifted(key, 64 - MANTISSA_BITS).float() / (1 << MANTISSA_BITS)  # type: ignore[union-attr]
