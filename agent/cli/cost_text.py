"""What `vortex cost` finds, as tables and as JSON."""
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from agent.cli.text import columns
from vortex.compiler.roofline import LONGEST, Assumptions, Roofline
from vortex.compiler.step_cost import KernelCost
from vortex.config import OperatingPoint
from vortex.ir import Graph


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One batch at one context; `fits`: there is memory for it."""

    batch: int
    context: int
    dense_ms: float
    step_ms: float
    fits: bool
    dense_fits: bool
    kernels: tuple[KernelCost, ...]

    @property
    def speedup(self) -> float:
        return self.dense_ms / self.step_ms


@dataclass(frozen=True, kw_only=True)
class Priced:
    """One flow at its point; `break_even`: tokens a request by batch, None where dense stays the faster."""

    name: str
    graph: Graph
    point: OperatingPoint
    cells: tuple[Cell, ...]
    break_even: dict[int, int | None]

    @staticmethod
    def of(name: str, graph: Graph, point: OperatingPoint, roof: Roofline, grid: Sequence[tuple[int, int]]) -> "Priced":
        cells = [Cell(batch=batch, context=context, dense_ms=1000 * roof.step_s(None, point, batch, context),
                      step_ms=1000 * roof.step_s(graph, point, batch, context), fits=roof.fits(graph, point, batch, context),
                      dense_fits=roof.fits(None, point, batch, context), kernels=roof.kernels(graph, point, batch, context))
                 for batch, context in grid]
        breaks = {batch: roof.break_even(graph, point, batch) for batch in dict.fromkeys(b for b, _ in grid)}
        return Priced(name=name, graph=graph, point=point, cells=tuple(cells), break_even=breaks)

    def speedups(self, batch: int) -> list[tuple[int, float]]:
        """(context, times dense) of one batch, where there is memory for both."""
        return [(c.context, c.speedup) for c in self.cells if c.batch == batch and c.fits and c.dense_fits]


def priced_text(roof: Roofline, found: Sequence[Priced], with_kernels: bool = False) -> str:
    parts = ["\n".join(_head(roof, found)), columns(list(_table(found))), "\n".join(_pays(roof, one) for one in found)]
    if with_kernels:
        parts += [_split(roof, one) for one in found]
    return "\n\n".join(parts)


def _head(roof: Roofline, found: Sequence[Priced]) -> Iterator[str]:
    model, weights = roof.model, roof.model.parameters * roof.weight_itemsize_bytes
    each = model.token_bytes(roof.kv_itemsize_bytes)
    room = int((roof.chip.memory_bytes * roof.assumptions.memory_share - weights) // each)
    told = f"room for {room:,} tokens" if room > 0 else f"more than {roof.chip.memory_bytes / 1e9:.0f} GB of memory can hold"
    yield f"{model.name} on {roof.chip.name}: {weights / 1e9:,.2f} GB of weights, {each:,} bytes of KV a token, {told}"
    yield f"by arithmetic, not measured; {_assumed(roof.assumptions)}"
    points = [_point_text(one.point) for one in found]
    yield from [f"point: {points[0]}"] if len(set(points)) == 1 else \
        [f"point of {one.name}: {text}" for one, text in zip(found, points, strict=True)]


def _assumed(given: Assumptions) -> str:
    shares = f"{given.kv_bandwidth:.0%} of the bandwidth over KV, {given.weight_bandwidth:.0%} over weights"
    times = [f"{value:g} {unit}" for value, unit in ((given.step_ms, "ms a step"), (given.select_us, "us a layer that selects"),
                                                     (given.launch_us, "us a kernel")) if value]
    return f"assumed: {', '.join([shares, *times])}"


def _point_text(point: OperatingPoint) -> str:
    """Block size and dtype, and what else is not usual."""
    usual, own = OperatingPoint().model_dump(), point.model_dump()
    shown = ("block_size", "topk_val", "topk_ratio", "dtype")
    names = [*shown, *(name for name in own if name not in (*shown, "model", "engine") and own[name] != usual[name])]
    return ", ".join(f"{name} {own[name]}" for name in names)


def _table(found: Sequence[Priced]) -> Iterator[tuple[str, ...]]:
    cells = found[0].cells
    yield "batch", "ms a step", *(_tokens(c.context) for c in cells if c.batch == cells[0].batch)
    for batch in found[0].break_even:
        yield str(batch), "dense", *(f"{c.dense_ms:.2f}" if c.dense_fits else "-" for c in cells if c.batch == batch)
        for one in found:
            yield "", one.name, *(_cell(c) for c in one.cells if c.batch == batch)


def _cell(cell: Cell) -> str:
    if not cell.fits:
        return "-"
    return f"{cell.step_ms:.2f}  {cell.speedup:.2f}x" if cell.dense_fits else f"{cell.step_ms:.2f}"


def _tokens(count: int) -> str:
    return f"{count // 1024}k" if count % 1024 == 0 else str(count)


def _pays(roof: Roofline, one: Priced) -> str:
    """The break-even line of a flow."""
    told, never = [], []
    for batch, tokens in one.break_even.items():
        if tokens is not None and roof.fits(one.graph, one.point, batch, tokens):
            told.append(f"{tokens:,} tokens at batch {batch}")
        else:
            never.append(str(batch))
    lines = [f"from {', '.join(told)}"] if told else []
    lines += [f"not at batch {', '.join(never)} (looked for up to {LONGEST:,} tokens and to the memory's end)"] if never else []
    return f"{one.name} is faster than dense {'; '.join(lines)}"


def _shown(one: Priced) -> Cell:
    """The largest that fits, else the first."""
    return max((c for c in one.cells if c.fits), key=lambda c: (c.batch * c.context, c.batch), default=one.cells[0])


def _split(roof: Roofline, one: Priced) -> str:
    cell = _shown(one)
    rows = [("kernel", "launches", "MB", "Mflop", "us", "bound by", "MB of")]
    for kernel in cell.kernels:
        moved = [f"{matter} {size / 1e6:,.2f}" for matter, size in kernel.moved.items() if size >= 5e3]
        rows.append((kernel.kind, f"{kernel.launches:g}" if kernel.launches else "", f"{kernel.bytes / 1e6:,.2f}",
                     f"{(kernel.products + kernel.operations) / 1e6:,.0f}", f"{1e6 * roof.kernel_s(kernel):,.1f}",
                     _bound(roof, kernel), ", ".join(moved)))
    return f"{one.name}, batch {cell.batch}, {_tokens(cell.context)} tokens, all layers of a step:\n{columns(rows)}"


def _bound(roof: Roofline, kernel: KernelCost) -> str:
    arithmetic = kernel.products / roof.chip.product_rate + kernel.operations / roof.chip.operation_rate
    return "arithmetic" if arithmetic > roof.memory_s(kernel) else "bandwidth"


def record(roof: Roofline, found: Sequence[Priced], kv: str) -> dict[str, Any]:
    """As JSON: times in ms and us, sizes in bytes."""
    model = {"name": roof.model.name, "weight_bytes": round(roof.model.parameters * roof.weight_itemsize_bytes),
             "weight_bytes_read": round(roof.model.parameters_read(1) * roof.weight_itemsize_bytes),
             "kv_bytes_per_token": roof.model.token_bytes(roof.kv_itemsize_bytes), "kv": kv}
    return {"measured": False, "model": model, "gpu": asdict(roof.chip), "assumptions": asdict(roof.assumptions),
            "flows": [_flow(roof, one) for one in found]}


def _flow(roof: Roofline, one: Priced) -> dict[str, Any]:
    cells = [{"batch": c.batch, "context": c.context, "dense_ms": c.dense_ms, "step_ms": c.step_ms, "speedup": c.speedup,
              "fits": c.fits, "dense_fits": c.dense_fits,
              "kernels": [_kernel(roof, kernel) for kernel in c.kernels]} for c in one.cells]
    return {"name": one.name, "hash": one.graph.hash, "point": one.point.model_dump(mode="json", exclude={"model", "engine"}),
            "break_even": one.break_even, "cells": cells}


def _kernel(roof: Roofline, kernel: KernelCost) -> dict[str, Any]:
    return {"kind": kernel.kind, "launches": kernel.launches, "bytes": kernel.bytes,
            "moved": {matter: round(size) for matter, size in kernel.moved.items()}, "operations": round(kernel.operations),
            "products": round(kernel.products), "us": 1e6 * roof.kernel_s(kernel), "bound_by": _bound(roof, kernel)}
