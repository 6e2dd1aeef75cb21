"""Writes the measured table of selectors into docs/probe.md, beside the published figures.

    python benchmarks/selector_page.py
"""
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from machine import RESULTS

PAGE = Path(__file__).parent.parent / "docs" / "probe.md"
START, END = "<!-- selector table -->\n", "<!-- end of selector table -->"
SELECTORS = ("random", "recent", "centroid", "quest", "oracle-peak", "oracle")
KINDS = ("exact", "score")


def write_page(results: Path = RESULTS / "selector_table.json", page: Path = PAGE) -> None:
    """Replaces what stands between the markers."""
    text = page.read_text()
    head, rest = text.split(START)
    _, tail = rest.split(END)
    cells = json.loads(results.read_text())["cells"]
    published = json.loads((RESULTS / "probe_published.json").read_text())
    page.write_text(head + START + tables(cells, published) + END + tail)


def tables(cells: Mapping[str, Mapping[str, Any]], published: Mapping[str, Any]) -> str:
    """One table for dense reading, one of exact answers and one of partial credit, and how they compare."""
    sparse = {name: row for name, row in cells.items() if len(row) > 1}
    parts = ["\n### Dense\n", dense_table(cells, published)]
    parts += ["\n### Exact answers, in %\n", table(sparse, published, "exact")]
    partial = {name: row for name, row in sparse.items() if any(cell["score"] != cell["exact"] for cell in row.values())}
    parts += ["\n### Partial credit, in %\n", table(partial, published, "score"), agreement(cells, published), ""]
    return "\n".join(parts)


def dense_table(cells: Mapping[str, Mapping[str, Any]], published: Mapping[str, Any]) -> str:
    """Dense reading of every preset."""
    lines = ["| preset | samples | exact | published | partial credit |", "|---|---|---|---|---|"]
    for name, row in cells.items():
        old = published.get(name, {}).get("cells", {}).get("dense", [None])[0]
        count, exact, score = row["dense"]["count"], _figure(row["dense"]["exact"]), _figure(row["dense"]["score"])
        lines.append(f"| {name} | {count} | {exact} | {_percent(old)} | {score} |")
    return "\n".join(lines) + "\n"


def table(cells: Mapping[str, Mapping[str, Any]], published: Mapping[str, Any], kind: str) -> str:
    """Selectors by selected blocks; the published figure stands in brackets."""
    pages = sorted({int(key.split()[1]) for row in cells.values() for key in row if " " in key})
    lines = ["| preset (samples) | selector | " + " | ".join(f"k = {k}" for k in pages) + " |"]
    lines.append("|---" * (2 + len(pages)) + "|")
    for name, row in cells.items():
        label = f"{name} ({row['dense']['count']})"
        for selector in SELECTORS:
            shown = [_cell(row, published.get(name, {}), f"{selector} {k}", kind) for k in pages]
            if any(shown):
                lines.append(f"| {label} | {selector} | " + " | ".join(shown) + " |")
                label = ""
    return "\n".join(lines) + "\n"


def _cell(row: Mapping[str, Any], published: Mapping[str, Any], key: str, kind: str) -> str:
    if key not in row:
        return ""
    comparison = compare(row[key], published, key, kind)
    if comparison is None:
        return _figure(_value(row[key], kind))
    mark = "" if comparison["within"] else " **≠**"
    return f"{_figure(_value(row[key], kind))} [{_percent(comparison['published'])}]{mark}"


def _value(cell: Mapping[str, Any], kind: str) -> list[float]:
    """Partial credit of a derivation is shown as published: the share of words before the first mistake."""
    value: list[float] = cell.get("before_mistake", cell["score"]) if kind == "score" else cell["exact"]
    return value


def compare(cell: Mapping[str, Any], published: Mapping[str, Any], key: str, kind: str) -> dict[str, Any] | None:
    """Our figure less the published one, and the noise of such a difference: both half-widths, added in squares."""
    old = published.get("cells", {}).get(key, [None, None])[KINDS.index(kind)]
    if old is None:
        return None
    value, low, high = _value(cell, kind)
    half = (high - low) / 2
    noise = math.hypot(half, half * math.sqrt(cell["count"] / published["count"]))
    return {"published": old, "difference": value - old, "noise": noise, "within": abs(value - old) <= noise}


def agreement(cells: Mapping[str, Mapping[str, Any]], published: Mapping[str, Any]) -> str:
    """One sentence on every cell that was published too."""
    found = [(name, key, kind, compared) for name, row in cells.items() for key, cell in row.items()
             for kind in KINDS if (compared := compare(cell, published.get(name, {}), key, kind))]
    outside = [item for item in found if not item[3]["within"]]
    largest = max((abs(c["difference"]) for _, key, _, c in found if not key.startswith("random")), default=0.0)
    text = [f"{len(found) - len(outside)} of {len(found)} figures agree with the published ones within noise.",
            f"The largest difference of a selector other than random is {100 * largest:.1f} points."]
    for name, key, kind, compared in outside:
        difference, noise = 100 * compared["difference"], 100 * compared["noise"]
        text.append(f"- {name}, {key}, {kind}: {difference:+.1f} points, noise {noise:.1f}.")
    return "\n".join(text)


def _figure(value: list[float]) -> str:
    mean, low, high = (100 * v for v in value)
    return f"{mean:.1f} ({low:.0f}-{high:.0f})"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


if __name__ == "__main__":
    write_page()
