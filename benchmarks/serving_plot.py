"""Decode in SGLang as bars, a group a model: tokens a second of the rival and of each flow; and speed-up over context."""
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib
from matplotlib.figure import Figure

matplotlib.use("agg")


def plot(results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Nothing is written where no model was measured."""
    known = [one for one in results if "skipped" not in one]
    if not known:
        return
    figure = Figure(figsize=(5.5 * len(known), 7.5), layout="constrained")
    for column, one in enumerate(known):
        long, grid = figure.add_subplot(2, len(known), column + 1), figure.add_subplot(2, len(known), len(known) + column + 1)
        stock = [turn[0] for turn in one["stock"]]
        ours = {name: median(turn[0] for turn in turns) for name, turns in one["ours"].items()}
        sides = {f"SGLang {one['rival']}": median(stock), **ours}
        bars = long.bar([*sides], [*sides.values()], color=["#5b5b5b", "#b9c2cc"] + ["#1f5fa8"] * (len(sides) - 2))
        long.bar_label(bars, [f"{speed / median(stock):.2f}x" for speed in sides.values()], fontsize=8)
        batch, context, new = one["shapes"][0]
        long.set_title(f"{one['model']}: {batch} requests, {context:,} + {new:,} tokens", fontsize=9, loc="left")
        long.set_ylabel("output tokens a second")
        long.tick_params(axis="x", labelrotation=30, labelsize=8)
        _grid(grid, one)
    figure.savefig(path, dpi=120)


def _grid(axes: Any, one: Mapping[str, Any]) -> None:
    cells = [*enumerate(one["shapes"])][1:]
    for colour, name in enumerate(name for name in one["ours"] if name != "dense"):
        for line, batch in enumerate(sorted({shape[0] for _, shape in cells})):
            own = [(shape[1], n) for n, shape in cells if shape[0] == batch]
            speeds = [one["ours"][name][0][n] / median(turn[n] for turn in one["stock"]) for _, n in own]
            axes.plot([context for context, _ in own], speeds, marker="os^Dv"[line % 5], color=f"C{colour}", markersize=4,
                      linestyle=("-", "--", ":")[line % 3], label=f"{name}, batch {batch}")
    axes.axhline(1, color="#5b5b5b", linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.set_xlabel("tokens of context")
    axes.set_ylabel(f"times SGLang {one['rival']}")
    axes.grid(alpha=0.25, linewidth=0.6)
    if cells:
        axes.legend(fontsize=7)
