"""Arithmetic that is the same on a GPU and under Triton's interpreter, whose casts to bfloat16 and fp8 cut instead of rounding.

All functions take and give float32 tensors; NaN stays NaN.
"""
# ruff: noqa: N803 - constants stand in capitals
import triton
import triton.language as tl

from vortex.language.ops.noise import FIRST, SECOND, STEP

STEP64 = tl.constexpr(STEP)
FIRST64 = tl.constexpr(FIRST)
SECOND64 = tl.constexpr(SECOND)


@triton.jit
def as_bf16(x):
    """Rounded to the nearest bfloat16, ties to even."""
    bits = x.to(tl.int32, bitcast=True)
    even = bits + 0x7FFF + ((bits >> 16) & 1)
    return tl.where(x == x, (even & -65536).to(tl.float32, bitcast=True), x)


@triton.jit
def as_fp16(x):
    return x.to(tl.float16).to(tl.float32)


@triton.jit
def _on_grid(x, step):
    """`x` rounded to a multiple of `step`, a power of two, ties to even; |x| < 2**22 steps."""
    magic = step * 12582912.0
    return (x + magic) - magic


@triton.jit
def _power_below(x):
    """The largest power of two that is not above |x|; 0 of numbers too small to be normal."""
    return (x.to(tl.int32, bitcast=True) & 0x7F800000).to(tl.float32, bitcast=True)


@triton.jit
def as_fp8_e4m3(x):
    """Rounded to e4m3, stopping at its largest number, 448."""
    kept = tl.where(x > 448.0, 448.0, tl.where(x < -448.0, -448.0, x))
    step = tl.maximum(_power_below(kept), 0.015625) * 0.125
    return tl.where(x == x, _on_grid(kept, step), x)


@triton.jit
def as_fp8_e5m2(x):
    """Rounded to e5m2, stopping at its largest number, 57344."""
    kept = tl.where(x > 57344.0, 57344.0, tl.where(x < -57344.0, -57344.0, x))
    step = tl.maximum(_power_below(kept), 0.00006103515625) * 0.25
    return tl.where(x == x, _on_grid(kept, step), x)


@triton.jit
def as_whole(x):
    """Rounded to a whole number, ties to even; numbers past 2**22 are returned as they are."""
    return tl.where(tl.abs(x) < 4194304.0, _on_grid(x, 1.0), x)


@triton.jit
def larger(a, b):
    """NaN if either is."""
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def smaller(a, b):
    """NaN if either is."""
    return tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _mixed(key):
    key = (key ^ ((key >> 30) & 0x3FFFFFFFF)) * FIRST64
    key = (key ^ ((key >> 27) & 0x1FFFFFFFFF)) * SECOND64
    return key ^ ((key >> 31) & 0x1FFFFFFFF)


@triton.jit
def folded(key, part):
    """One more part of a noise key (vortex/language/ops/noise.py); int64."""
    return _mixed((key ^ part.to(tl.int64)) + STEP64)


@triton.jit
def uniform(key):
    """24 bits of the key as a number in [0, 1). A product with a power of two is exact; a division is approximate on a GPU."""
    return ((key >> 40) & 0xFFFFFF).to(tl.float32) * 5.9604644775390625e-08


@triton.jit
def on_scale(x, most, largest: tl.constexpr):
    """`x` rounded to whole numbers of a scale, most / largest; divisions are exact, as a quotient may lie close to a half."""
    scale = tl.div_rn(most, tl.full((), largest, tl.float32) + most * 0.0)
    whole = as_whole(tl.div_rn(x + scale * 0.0, scale + x * 0.0))
    return tl.where(scale == 0.0, 0.0, whole * scale)


@triton.jit
def stands_before(x, y, lower):
    """Is x ahead of y in the order of the largest first, equals by the lower index, NaN last?"""
    return (x > y) | ((x == x) & (y != y)) | (((x == y) | ((x != x) & (y != y))) & lower)


@triton.jit
def add_product(a, b, total, NARROW: tl.constexpr, UPCAST: tl.constexpr):
    """total + a @ b. Operands that came from 16 bits go to tensor cores as such: their products are exact in float32."""
    if NARROW == 16 and not UPCAST:
        return tl.dot(a.to(tl.bfloat16), b.to(tl.bfloat16), total)
    return tl.dot(a, b, total, input_precision="ieee")
