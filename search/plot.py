"""The frontier as a picture: accuracy over decode speed, with an interval both ways."""
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, MaxNLocator
from matplotlib.transforms import Bbox

from search.frontier import Frontier, Place, Standing
from search.words import accuracy_text, lengths_text, share_text, speed_text
from vortex.errors import VortexError
from vortex.serving.load.client import Observed
from vortex.serving.load.latency import gaps_s, ttft_s

SIZE_INCHES = (11.5, 6.2)
DOTS_PER_INCH = 150
LONGEST = 32                          # letters of a name that are shown
MOST = 16                             # names beside the picture
BLUE, GREY, FAINT, PALE, GREEN = "#1f5fa8", "#5b5b5b", "#b9c2cc", "#a9c6e6", "#1d7d4a"
Curves: TypeAlias = Mapping[str, Sequence[tuple[int, float, float]]]       # (candidates, dollars, hypervolume), by proposer
Spot: TypeAlias = tuple[float, float, Literal["left", "center", "right"]]
SIDES: tuple[Spot, ...] = (                # offsets in points
    (7, 7, "left"), (-7, 7, "right"), (7, -7, "left"), (-7, -7, "right"), (0, 13, "center"), (0, -13, "center"))


class PlotError(VortexError):
    """The picture cannot be written."""


def draw(frontier: Frontier, title: str, path: Path) -> None:
    """Writes a PNG. Raises PlotError where the file cannot be written."""
    _save(picture(frontier, title), path)


def _save(figure: Figure, path: Path) -> None:
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise PlotError(f"cannot write {path}: {error.strerror}", hint="Give --plot another file.") from error


def picture(frontier: Frontier, title: str) -> Figure:
    """`title` is taken letter by letter."""
    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    axes, beside = figure.subplots(1, 2, width_ratios=(3.3, 1))
    _points(axes, frontier)
    _names(beside, frontier.at(Place.BEST))
    _scales(axes, frontier, title)
    figure.draw_without_rendering()
    _labels(axes, frontier)
    return figure


def draw_contest(curves: Curves, title: str, path: Path) -> None:
    """Hypervolume over candidates, and over dollars, a line a proposer. Raises PlotError."""
    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    by_count, by_dollars = figure.subplots(1, 2, sharey=True)
    for number, (author, steps) in enumerate(curves.items()):
        areas, colour = [area for _, _, area in steps], f"C{number % 10}"
        by_count.step([n for n, _, _ in steps], areas, where="post", marker=".", label=author, color=colour)
        if any(dollars for _, dollars, _ in steps):
            by_dollars.step([d for _, d, _ in steps], areas, where="post", marker=".", label=author, color=colour)
    by_count.xaxis.set_major_locator(MaxNLocator(integer=True))
    by_count.set_title(title, loc="left", fontsize=12, parse_math=False)
    by_count.set_ylabel("hypervolume (accuracy above 0, speed above 1x)")
    for axes, label in ((by_count, "candidates"), (by_dollars, "dollars")):
        axes.set_xlabel(label)
        axes.grid(alpha=0.25, linewidth=0.6)
        if axes.lines:
            axes.legend(loc="lower right", fontsize=8.5)
        else:
            axes.text(0.5, 0.5, "nothing was spent", transform=axes.transAxes, ha="center", color=GREY)
    _save(figure, path)


def draw_speedups(lines: Mapping[tuple[str, int], Sequence[tuple[int, float]]], title: str, path: Path,
                  how: str = "by arithmetic") -> None:
    """Times dense over tokens of context, a line of (context, times) for each (flow, batch). Raises PlotError."""
    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    flows, batches = (list(dict.fromkeys(key[part] for key in lines)) for part in (0, 1))
    for (flow, batch), points in lines.items():
        axes.plot([x for x, _ in points], [y for _, y in points], label=f"{flow}, batch {batch}",
                  color=f"C{flows.index(flow) % 10}", marker="osD^v"[batches.index(batch) % 5], markersize=4.5,
                  linestyle=("-", "--", "-.", ":")[batches.index(batch) % 4])
    axes.axhline(1.0, color=GREY, linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / 1024:g}k"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}x"))
    axes.set_xlabel("tokens of context")
    axes.set_ylabel(f"decode step (times dense, {how})")
    axes.set_title(title, loc="left", fontsize=12, parse_math=False)
    axes.grid(alpha=0.25, linewidth=0.6)
    if lines:
        axes.legend(loc="upper left", fontsize=8.5)
    _save(figure, path)


def draw_load(turns: Mapping[str, Sequence[Sequence[Observed]]], title: str, path: Path) -> None:
    """Shares of requests, and of tokens, that came within a time; a line a turn, a colour a side. Raises PlotError."""
    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 3, sharey=True)
    for colour, (side, loads) in zip((GREY, BLUE), turns.items(), strict=False):
        for number, load in enumerate(loads):
            whole = [one for one in load if not one.error]
            style = {"color": colour, "linestyle": ("-", "--", ":")[number % 3], "label": f"{side}, turn {number + 1}"}
            _share_within(panels[0], [ttft_s(one) for one in whole], style)
            _share_within(panels[1], [gap for one in whole for gap in gaps_s(one)], style)
            _share_within(panels[2], [one.arrivals[-1][0] - one.due_s for one in whole], style)
    for axes, label in zip(panels, ("to the first token", "between tokens", "whole request"), strict=True):
        axes.set_xlabel(f"{label} (ms)")
        axes.set_xlim(left=0)
        axes.grid(alpha=0.25, linewidth=0.6)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    panels[0].set_ylabel("share that took no longer")
    panels[0].yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.0%}"))
    panels[0].set_title(title, loc="left", fontsize=12, parse_math=False)
    panels[2].legend(loc="lower right", fontsize=8.5)
    _save(figure, path)


def _share_within(axes: Axes, seconds: Sequence[float], style: Mapping[str, Any]) -> None:
    ordered = sorted(seconds)
    axes.step([0.0, *(1e3 * value for value in ordered)], [n / max(1, len(ordered)) for n in range(len(ordered) + 1)],
              where="post", linewidth=1.6, **style)


def _points(axes: Axes, frontier: Frontier) -> None:
    edge = list(_staircase([one for one in frontier.standings if one.place is Place.BEST or one.candidate.is_dense]))
    axes.plot([x for x, _ in edge], [y for _, y in edge], color=BLUE, linewidth=1.4, alpha=0.6, zorder=2)
    _bars(axes, frontier.at(Place.BEATEN), "beaten", FAINT, 0)
    near = [one for one in frontier.at(Place.NEAR) if one.candidate.tier != "confirmed"]
    _bars(axes, near, "within noise of the frontier", PALE, 1)
    _bars(axes, frontier.at(Place.CONTROL), "controls", GREY, 1, marker="D")
    best = frontier.at(Place.BEST)
    _bars(axes, [one for one in best if one.candidate.tier != "confirmed"], "frontier", BLUE, 2)
    _bars(axes, [one for one in frontier.standings if one.candidate.tier == "confirmed"], "confirmed", GREEN, 2, marker="s")


def _staircase(line: Sequence[Standing]) -> Iterator[tuple[float, float]]:
    """The edge of what the frontier dominates, from the fastest to the most accurate."""
    level = 0.0
    for one in sorted(line, key=lambda one: (-one.speed.value, -one.accuracy.value)):
        if one.accuracy.value > level:
            yield one.speed.value, level
            level = one.accuracy.value
            yield one.speed.value, level


def _bars(axes: Axes, standings: Sequence[Standing], label: str, colour: str, weight: int, marker: str = "o") -> None:
    """`weight` 0 draws small points without bars, so that many of them stay a background."""
    if not standings:
        return
    across = [(one.speed.value - one.speed.low, one.speed.high - one.speed.value) for one in standings]
    along = [(one.accuracy.value - one.accuracy.low, one.accuracy.high - one.accuracy.value) for one in standings]
    axes.errorbar([one.speed.value for one in standings], [one.accuracy.value for one in standings],
                  xerr=list(zip(*across, strict=True)) if weight else None,
                  yerr=list(zip(*along, strict=True)) if weight else None, label=f"{label} ({len(standings)})",
                  fmt=marker, color=colour, markersize=3.5 + 1.5 * weight, elinewidth=0.5 + 0.4 * weight,
                  capsize=1.5 * weight, zorder=3 + weight)


def _scales(axes: Axes, frontier: Frontier, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=12, parse_math=False)
    axes.set_xlabel(f"decode speed{lengths_text(frontier.speed_lengths)} (times dense; higher is better)")
    axes.set_ylabel(f"accuracy{lengths_text(frontier.accuracy_lengths)} (higher is better)")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}x"))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=9, steps=[1, 2, 2.5, 5, 10]))
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if frontier.standings:
        speeds = [bound for one in frontier.standings for bound in (one.speed.value, one.speed.high)]
        axes.set_xlim(min(0.9, *(one.speed.low for one in frontier.standings)) - 0.1, max(speeds) * 1.12)
        axes.set_ylim(min(0.0, *(one.accuracy.low for one in frontier.standings)), 1.04)
        axes.legend(loc="lower left", fontsize=8.5, frameon=True, framealpha=0.9, edgecolor="none")
    else:
        axes.text(0.5, 0.5, "nothing was measured yet", transform=axes.transAxes, ha="center", color=GREY)


def _names(axes: Axes, best: Sequence[Standing]) -> None:
    """Beside the picture, names and figures of those on the frontier; the picture itself holds their numbers only."""
    axes.axis("off")
    for line, one in enumerate(best[:MOST]):
        y = 1 - line / MOST
        axes.text(0.0, y, str(one.candidate.id), color=BLUE, fontsize=9, fontweight="bold", va="top")
        axes.text(0.14, y, _shortened(one.candidate.name), fontsize=9, va="top", parse_math=False)
        axes.text(0.14, y - 0.028, f"{accuracy_text(one.accuracy)}   {speed_text(one.speed)}   {share_text(one.share)}",
                  fontsize=8, color=GREY, va="top")
    if len(best) > MOST:
        axes.text(0.14, 0.0, f"and {len(best) - MOST} more", fontsize=8, color=GREY, va="top")


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST else name[:LONGEST - 1] + "…"


def _labels(axes: Axes, frontier: Frontier) -> None:
    """Each label takes the nearest spot beside its point that is free of other labels, points and the legend."""
    labelled = frontier.at(Place.BEST) + frontier.at(Place.CONTROL)
    taken = [_around(axes, one) for one in labelled]
    legend = axes.get_legend()
    if legend is not None:
        taken.append(legend.get_window_extent())
    inside = axes.get_window_extent()
    spots: list[Spot] = [(reach * x, reach * y, side) for reach in (1.0, 1.8, 2.6) for x, y, side in SIDES]
    for one in labelled:
        label = _label(axes, one)
        best = min(range(len(spots)), key=lambda i: (_cost(label, spots[i], taken, inside), i))
        taken.append(_put(label, spots[best]))


def _label(axes: Axes, one: Standing) -> Annotation:
    control = one.place is Place.CONTROL
    text = one.candidate.name if control else str(one.candidate.id)
    if control and not one.candidate.is_dense:
        text += f" {share_text(one.share)}"
    label = axes.annotate(text, (one.speed.value, one.accuracy.value), (8, 6), textcoords="offset points", va="center",
                          fontsize=9, color=GREY if control else BLUE, style="italic" if control else "normal",
                          weight="normal" if control else "bold", zorder=7, annotation_clip=False,
                          parse_math=False)
    label.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
    return label


def _put(label: Annotation, spot: Spot) -> Bbox:
    x, y, side = spot
    label.set_position((x, y))
    label.set_horizontalalignment(side)
    return label.get_window_extent()


def _cost(label: Annotation, spot: Spot, taken: Sequence[Bbox], inside: Bbox) -> float:
    """The area that the label would share with others, or have outside of the picture."""
    box = _put(label, spot)
    own = Bbox.intersection(box, inside)
    outside = box.width * box.height - (own.width * own.height if own else 0.0)
    shared = [Bbox.intersection(box, other) for other in taken]
    return outside + sum(one.width * one.height for one in shared if one)


def _around(axes: Axes, one: Standing) -> Bbox:
    x, y = axes.transData.transform((one.speed.value, one.accuracy.value))
    return Bbox.from_bounds(float(x) - 9, float(y) - 9, 18, 18)
