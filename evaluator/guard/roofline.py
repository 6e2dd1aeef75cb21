"""Results too good to be true: what is beyond the bytes a step must read is quarantined, not believed.

Two bounds. Against dense decode in the same lease a step gains no more than the share of bytes it spares, but for caches.
And on a chip that is known, it takes no less than its own bytes of K, V and summaries take beyond the cache; weights are
left out, for a checkpoint may be quantised or a mixture of experts.
"""
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from evaluator.report import Estimate, Row
from vortex.compiler.chips import recognised
from vortex.compiler.cost import Shape, cost
from vortex.config import OperatingPoint
from vortex.ir import Geometry, Graph

SLACK = 2.0                  # caches serve a small selection faster than memory serves the whole context
ITEMSIZE_BYTES = 2           # of keys and values on a GPU
APART = "kept apart until a person has looked at it"
PACE_ROWS = 8                # fewer say nothing of a median


def beyond_roofline(speed: Estimate, rows: Sequence[Row]) -> str:
    """What is wrong with a speed, or "".

    Rows of the speed stage, and those of a confirm run, carry `step_ms`, `bytes_per_step` and `dense_bytes_per_step`, and
    on a known chip `floor_ms`, see step_floor.
    """
    impossible = _impossible_times(rows)
    if impossible:
        return impossible
    allowed = max(row.data["dense_bytes_per_step"] / row.data["bytes_per_step"] for row in rows) * SLACK
    if speed.low > allowed:
        return (f"{speed.value:.2f}x the speed of dense decode, while the bytes read allow {allowed:.2f}x at most: {APART}")
    return _under_the_floor(rows)


def _impossible_times(rows: Sequence[Row]) -> str:
    for row in rows:
        for name in ("step_ms", "dense_step_ms"):
            value = row.data.get(name, 1.0)
            if not (math.isfinite(value) and value > 0):
                return f"{row.problem}, repeat {row.repeat}: {name} is {value}, which no clock gives: {APART}"
    return ""


def _under_the_floor(rows: Sequence[Row]) -> str:
    shapes: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.data.get("floor_ms"):
            shapes[row.problem].append(row)
    for problem, timed in shapes.items():
        step_ms, floor_ms = median(row.data["step_ms"] for row in timed), timed[0].data["floor_ms"]
        if step_ms < floor_ms:
            return (f"{problem}: a step took {step_ms:.3f} ms, while {timed[0].data['device']} reads its bytes in "
                    f"{floor_ms:.3f} ms at best: {APART}")
    return ""


def step_floor(graph: Graph | None, point: OperatingPoint, geometry: Geometry, shape: Shape, batch: int,
               device: str) -> dict[str, Any]:
    """`device`, and for one of the table of chips `floor_ms`: the least that a step of `batch` requests takes there.

    `device` is what a driver calls it, or cpu. K and V of two bytes; what fits the chip's cache costs nothing.
    """
    chip = recognised(device)
    if chip is None:
        return {"device": device}
    on_gpu = Shape(context=shape.context, layers=shape.layers, kv_heads=shape.kv_heads, kv_itemsize_bytes=ITEMSIZE_BYTES)
    moved = batch * cost(graph, point, geometry, on_gpu).bytes_per_step - chip.l2_bytes
    return {"device": device, "floor_ms": max(0.0, 1000 * moved / chip.bandwidth)}


def beyond_pace(rows: Sequence[Row], dense: Sequence[Row], allowed: float) -> str:
    """What is wrong with the pace of answers, or "": time a token beside dense decode's on the same problems.

    `allowed` is the share of bytes that a step may spare at the longest context. Rows carry `tokens` and `decode_s`.
    """
    for row in rows:
        if row.data.get("tokens", 0) > 1 and row.data.get("decode_s", 1.0) <= 0:
            return f"{row.problem}: {row.data['tokens']} tokens were decoded in {row.data['decode_s']:g} s: {APART}"
    known = {(row.problem, row.repeat): pace for row in dense if (pace := _pace(row))}
    gains = [known[key] / pace for row in rows if (key := (row.problem, row.repeat)) in known and (pace := _pace(row))]
    most = allowed * SLACK
    if len(gains) < PACE_ROWS or median(gains) <= most:
        return ""
    return (f"tokens come {median(gains):.2f}x as fast as dense decode's on {len(gains)} problems, while the bytes read "
            f"allow {most:.2f}x at most: {APART}")


def _pace(row: Row) -> float:
    """Seconds a decoded token; 0 where the row does not tell."""
    data: Mapping[str, Any] = row.data
    steps = data.get("tokens", 0) - 1                       # the first token comes of the prefill
    return float(data["decode_s"]) / steps if steps > 0 and data.get("decode_s", 0) > 0 else 0.0
