"""Rows whose figures are no numbers, or no figures that a measurement gives."""
import math
from collections.abc import Mapping
from typing import Any

from evaluator.report import Row


def row_fault(row: Row) -> str:
    """What is wrong with a row's figures, or "": scores and times are finite, times are not below zero, and so are the
    numbers of its data, however deep they lie."""
    for name in ("score", "exact", "seconds"):
        value = getattr(row, name)
        if not math.isfinite(value):
            return f"problem {row.problem}: {name} is {value}"
    if row.seconds < 0:
        return f"problem {row.problem}: it took {row.seconds:g} s"
    place = _odd(row.data, "data")
    return f"problem {row.problem}: {place}" if place else ""


def _odd(value: Any, place: str) -> str:
    """Where the first number that is none lies."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{place} is {value}"
    if isinstance(value, Mapping):
        return next((found for key, one in value.items() if (found := _odd(one, f"{place}.{key}"))), "")
    if isinstance(value, list | tuple):
        return next((found for at, one in enumerate(value) if (found := _odd(one, f"{place}.{at}"))), "")
    return ""
