"""Traces and proxies as pictures: a heat map by layer and kv head, and a proxy against what flows really score."""
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from search.plot import BLUE, DOTS_PER_INCH, GREY, PlotError

COLUMNS = 3
PANEL_INCHES = (4.2, 3.4)
MARKS = {"built-in": ("o", BLUE), "evolved": ("o", "#e0a030"), "control": ("s", GREY), "oracle": ("^", GREY)}


def draw_heads(panels: Mapping[str, Sequence[Sequence[float]]], title: str, path: Path) -> None:
    """A panel for each table [L][H] of shares in [0, 1] or errors, darker where it is more. Raises PlotError."""
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(PANEL_INCHES[0] * columns, PANEL_INCHES[1] * rows + 0.4), dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in grid[len(panels):]:
        unused.set_axis_off()
    for axes, (name, table) in zip(grid, panels.items(), strict=False):
        most = max(1.0, max(map(max, table)))
        image = axes.imshow(table, vmin=0, vmax=most, cmap="Blues", aspect="auto", interpolation="nearest")
        axes.set_title(name, loc="left", fontsize=10, parse_math=False)
        axes.set_xlabel("kv head")
        axes.set_ylabel("layer")
        for scale in (axes.xaxis, axes.yaxis):
            scale.set_major_locator(MaxNLocator(nbins=12, integer=True))
        if len(table) * len(table[0]) <= 64:
            for layer, heads in enumerate(table):
                for head, value in enumerate(heads):
                    axes.text(head, layer, f"{value:.2f}", ha="center", va="center", fontsize=8,
                              color="white" if value > 0.6 * most else "black")
        figure.colorbar(image, ax=axes)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, parse_math=False)
    _save(figure, path)


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A flow: its proxy, and what it scores."""

    x: float
    y: float
    origin: str


def draw_proxy(panels: Mapping[str, Sequence[Dot]], labels: tuple[str, str], path: Path, *, log: bool) -> None:
    """A panel for each condition, a dot a flow; `labels` of both axes. With `log` small values are spread. Raises PlotError."""
    figure = Figure(figsize=(5.2 * len(panels), 4.2), dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, dots) in zip(figure.subplots(1, len(panels), squeeze=False).flat, panels.items(), strict=True):
        for origin, (marker, colour) in MARKS.items():
            own = [dot for dot in dots if dot.origin == origin]
            if own:
                axes.scatter([d.x for d in own], [d.y for d in own], marker=marker, color=colour, s=28, alpha=0.8, label=origin)
        if log:
            axes.set_xscale("symlog", linthresh=1e-3)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        axes.set_title(name, loc="left", fontsize=11, parse_math=False)
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.legend(fontsize=8)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise PlotError(f"cannot write {path}: {error.strerror}", hint="Give --plot another file.") from error
