"""Results too good to be true: what is beyond the bytes a step must read is quarantined, not believed."""
from collections.abc import Sequence

from evaluator.report import Estimate, Row

SLACK = 2.0                  # caches serve a small selection faster than memory serves the whole context


def beyond_roofline(speed: Estimate, rows: Sequence[Row]) -> str:
    """What is wrong with a speed, or "". A step cannot gain more than the share of bytes it spares, but for caches.

    Rows of the speed stage carry `bytes_per_step` and `dense_bytes_per_step`.
    """
    allowed = max(row.data["dense_bytes_per_step"] / row.data["bytes_per_step"] for row in rows) * SLACK
    if speed.low <= allowed:
        return ""
    return (f"{speed.value:.2f}x the speed of dense decode, while the bytes read allow {allowed:.2f}x at most: "
            "kept apart until a person has looked at it")
