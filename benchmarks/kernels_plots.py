"""Plots of the kernels' figures: a layer's block over dense attention, and the share of bandwidth that kernels reach."""
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
from kernels_cases import BUILT, OURS
from kernels_report import blocks

matplotlib.use("Agg")
PARTS = {"dense attention": OURS, "sparse attention": OURS, "score and select": BUILT}
Row = dict[str, Any]


def plot(rows: Sequence[Row], folder: Path, device: str) -> list[Path]:
    """One file for each model and flow, and one of bandwidth; none of a dry run."""
    timed = [row for row in rows if row.get("median_us")]
    if not timed:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    found = blocks(timed)
    pairs = sorted({(row["model"], row["flow"]) for row in found})
    return [*(_speedups([r for r in found if (r["model"], r["flow"]) == pair], *pair, folder, device) for pair in pairs),
            _bandwidth(timed, folder, device)]


def _speedups(rows: Sequence[Row], model: str, flow: str, folder: Path, device: str) -> Path:
    """A line a batch size over contexts."""
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for batch in sorted({row["batch"] for row in rows}):
        own = sorted((row["context"], row["speedup"]) for row in rows if row["batch"] == batch)
        axes.plot([context / 1024 for context, _ in own], [speedup for _, speedup in own], marker="o", label=f"batch {batch}")
    axes.axhline(1, color="gray", linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlabel="context (K tokens)", ylabel="times as fast as dense attention",
             title=f"One layer: {flow}, {model}, {device}")
    axes.set_xticks(sorted({row["context"] / 1024 for row in rows}), minor=False)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.legend(fontsize=8)
    return _saved(figure, folder / f"kernels_{model}_{flow}.png")


def _bandwidth(rows: Sequence[Row], folder: Path, device: str) -> Path:
    """A point a row, over the bytes that it moves."""
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for part, form in PARTS.items():
        own = sorted((row["bytes"] / 2**20, 100 * row["of_copy"]) for row in rows
                     if row["part"] == part and row["form"] == form and "of_copy" in row)
        axes.plot([size for size, _ in own], [share for _, share in own], ".", label=part)
    axes.set(xscale="log", ylim=(0, None), xlabel="MiB moved", ylabel="% of measured copy bandwidth", title=f"Kernels, {device}")
    axes.legend(fontsize=8)
    return _saved(figure, folder / "kernels_bandwidth.png")


def _saved(figure: Any, path: Path) -> Path:
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path
