"""What the figures of the kernels are held to, and how they are told."""
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kernels_cases import APART, BUILT, OURS, TOGETHER

Row = dict[str, Any]
SMALL_US = 10.0                           # of a launch that moves little
LARGE_BYTES = 512 << 20                   # a working set far beyond the cache
SPARSE_BYTES = 64 << 20
AT = (16, 32768)                          # batch and context that single figures are asked for


@dataclass(frozen=True)
class Verdict:
    """One target: the worst row that it is asked of. `met` None: nothing was measured that it speaks of."""

    target: str
    met: bool | None
    told: str

    @property
    def line(self) -> str:
        return f"{'not measured' if self.met is None else 'met' if self.met else 'MISSED':12} {self.target}: {self.told}"


def verdicts(rows: Sequence[Row], bandwidth: float) -> list[Verdict]:
    """All targets, of rows that have times."""
    timed = [row for row in rows if row.get("median_us")]
    mine = [row for row in timed if row["form"] in (OURS, BUILT)]
    return [
        _worst("summary update at most 10 us", _of(mine, "update"), _time, SMALL_US),
        _worst("planner at most 10 us", _of(mine, "plan"), _time, SMALL_US),
        _worst("score and select at most 10 us at batch 16 x 32K, elsewhere as that or 75 % of copy bandwidth",
               _of(mine, "score and select"), lambda row: _select_excess(row, bandwidth), 1.0),
        _worst("dense attention at least 80 % of copy bandwidth on large working sets",
               [row for row in _of(mine, "dense attention") if row["bytes"] >= LARGE_BYTES], _share, -0.8),
        _worst("sparse attention at least 60 % of copy bandwidth from 64 MB read up",
               [row for row in _of(mine, "sparse attention") if row["bytes"] >= SPARSE_BYTES], _share, -0.6),
        _worst("block of centroid at least 5 times as fast as dense at batch 16 x 32K",
               [row for row in blocks(timed) if row["flow"] == "centroid" and at_point(row)], _speedup, -5.0),
        _worst("block never slower than dense where the break-even rule lets it run",
               [row for row in blocks(timed) if not row.get("dense_by_rule")], _speedup, -1.0),
    ]


def _worst(target: str, rows: Sequence[Row], excess: Callable[[Row], float], most: float) -> Verdict:
    if not rows:
        return Verdict(target, None, "no such row")
    worst = max(rows, key=excess)
    value = excess(worst)
    place = ", ".join(str(worst[name]) for name in ("model", "batch", "context", "flow") if worst[name])
    return Verdict(target, value <= most, f"{abs(value):.2f} at {place} (of {len(rows)} rows)")


def _of(rows: Sequence[Row], part: str) -> list[Row]:
    return [row for row in rows if row["part"] == part]


def _time(row: Row) -> float:
    return float(row["median_us"])


def _share(row: Row) -> float:
    return -float(row["of_copy"])


def _speedup(row: Row) -> float:
    return -float(row["speedup"])


def _select_excess(row: Row, bandwidth: float) -> float:
    """Time over what is allowed."""
    allowed = SMALL_US if at_point(row) else max(SMALL_US, 1e6 * row["bytes"] / (0.75 * bandwidth))
    return float(row["median_us"]) / allowed


def at_point(row: Row) -> bool:
    return (row["batch"], row["context"]) == AT


def blocks(rows: Sequence[Row]) -> list[Row]:
    """Our blocks, each with its speedup over the dense attention that was timed in turn with it."""
    dense = {_key(row): row["median_us"] for row in rows if row["part"] == "block" and row["form"] == "dense"}
    return [{**row, "speedup": dense[_key(row)] / row["median_us"]} for row in rows
            if row["part"] == "block" and row["form"] == OURS]


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("model", "batch", "context", "flow", "part"))


def table(rows: Sequence[Row]) -> Iterator[str]:
    """One line a form, the forms of one part together, each beside the first."""
    first: dict[tuple[Any, ...], float] = {}
    for row in rows:
        label = f"{row['part']} {'' if row['flow'] is None else row['flow']}"
        if "refused" in row:
            yield f"    {label:32} {row['form']:26} did not run: {row['refused']}"
        elif "median_us" not in row:
            yield f"    {label:32} {row['form']:26} ran"
        else:
            ours = first.setdefault(_key(row), row["median_us"])
            spread = f"({row['low_us']:.1f} to {row['high_us']:.1f})"
            rate = f"  {row['gb_s']:6.0f} GB/s, {100 * row['of_copy']:3.0f} % of copy" if "gb_s" in row else ""
            beside = "" if math.isclose(ours, row["median_us"]) else f"  {row['median_us'] / ours:.2f} times the first"
            yield f"    {label:32} {row['form']:26} {row['median_us']:9.1f} us {spread:22}{rate}{beside}"


def fused_gain(rows: Sequence[Row]) -> dict[str, float]:
    """By point: what score and selection take apart, over what they take in one launch."""
    apart = {_key(row): row["median_us"] for row in rows if row["form"] == APART and row.get("median_us")}
    return {"{} {}x{} {}".format(*_key(row)[:4]): apart[_key(row)] / row["median_us"] for row in rows
            if row["form"] == TOGETHER and row.get("median_us") and _key(row) in apart}
