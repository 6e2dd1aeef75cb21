"""Figures as people read them: shares, lengths, sizes, values with their error bars."""
from collections.abc import Sequence
from fractions import Fraction

from evaluator.report import Estimate


def share_text(share: float) -> str:
    """`1/8` where it is such a share, a percentage elsewhere."""
    near = Fraction(share).limit_denominator(256)
    if near.numerator == 1 and abs(float(near) - share) < 1e-6:
        return "all" if near == 1 else f"1/{near.denominator}"
    return f"{100 * share:.3g}%"


def length_text(tokens: int) -> str:
    """`8K` for 8192, `576` for 576."""
    return f"{tokens // 1024}K" if tokens >= 1024 and tokens % 1024 == 0 else str(tokens)


def lengths_text(lengths: Sequence[int]) -> str:
    """` @1K`, or ` @576-1K` from the shortest to the longest; nothing where none is known. `lengths` ascend."""
    if not lengths:
        return ""
    ends = dict.fromkeys((length_text(lengths[0]), length_text(lengths[-1])))
    return " @" + "-".join(ends)


def bytes_text(size: float | None) -> str:
    """`67 MB`, `12.6 MB`, `840 kB`; `-` where it is not known. Powers of ten."""
    if size is None:
        return "-"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size:.0f} B"


def accuracy_text(figure: Estimate) -> str:
    """`0.94 ±.02`"""
    return f"{figure.value:.2f} ±{_bare(figure.half_width, 2)}"


def speed_text(figure: Estimate) -> str:
    """`3.90x ±.07`"""
    return f"{figure.value:.2f}x ±{_bare(figure.half_width, 2)}"


def _bare(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".removeprefix("0") if value < 1 else f"{value:.{digits}f}"
