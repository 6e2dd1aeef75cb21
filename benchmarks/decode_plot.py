"""Speed-up of whole decode steps over dense by context, a line a batch, a panel a model and flow."""
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

matplotlib.use("agg")


def plot(cells: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Cells without figures are left out; nothing is written where none has any."""
    known = [cell for cell in cells if "speedup" in cell]
    if not known:
        return
    models = list(dict.fromkeys(cell["model"] for cell in known))
    flows = list(dict.fromkeys(flow for cell in known for flow in cell["speedup"]))
    figure = Figure(figsize=(4.5 * len(flows), 3.2 * len(models)), layout="constrained")
    panels = figure.subplots(len(models), len(flows), squeeze=False, sharex=True)
    for row, model in zip(panels, models, strict=True):
        for axes, flow in zip(row, flows, strict=True):
            _panel(axes, [cell for cell in known if cell["model"] == model], flow)
            axes.set_title(f"{flow}, {model}", fontsize=9)
    figure.supxlabel("tokens of context")
    figure.supylabel("dense step / sparse step")
    figure.savefig(path, dpi=120)


def _panel(axes: Axes, cells: Sequence[Mapping[str, Any]], flow: str) -> None:
    for batch in sorted({cell["batch"] for cell in cells}):
        own = sorted((cell for cell in cells if cell["batch"] == batch), key=lambda cell: int(cell["context"]))
        speed = [cell["speedup"][flow] for cell in own]
        middle = [s["median"] for s in speed]
        errors = [[s["median"] - s["low"] for s in speed], [s["high"] - s["median"] for s in speed]]
        axes.errorbar([cell["context"] for cell in own], middle, yerr=errors, marker="o", markersize=3, capsize=2,
                      label=f"batch {batch}")
    axes.axhline(1, color="grey", linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.legend(fontsize=7)
