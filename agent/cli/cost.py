"""`vortex cost FLOWS`: a decode step's time on a GPU by arithmetic, over batch and context, and where a flow pays."""
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.cli.cost_text import Priced, priced_text, record
from agent.cli.options import Json
from agent.cli.text import to_json
from agent.toml_text import parse, with_settings
from vortex import flows
from vortex.budget import check_budget
from vortex.compiler.chips import find_chip
from vortex.compiler.front import load
from vortex.compiler.roofline import IDEAL, REALISTIC, Assumptions, Roofline
from vortex.compiler.shapes import MODELS, ModelSizes
from vortex.config import OperatingPoint, load_point, make_point
from vortex.errors import ModelError, PointError
from vortex.ir import Graph
from vortex.language.calls import nearest

UNITS = {"k": 2**10, "m": 2**20}
LARGEST = 2**30
SHIPPED = ("probe",)


class KvFormat(StrEnum):
    BF16 = "bf16"
    FP8 = "fp8"


Flows = Annotated[list[str], typer.Argument(metavar="FLOWS", help="Files, or names of built-in flows.")]
Settings = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="topk_val=29, of the point; repeatable.")]
Assumed = Annotated[list[str] | None, typer.Option("--assume", metavar="KEY=VALUE", help="select_us=5; repeatable.")]


def command(  # noqa: PLR0913  # an option each
    flow: Flows,
    model: Annotated[str, typer.Option(help="A model of the table, a folder, or a Hugging Face id.")] = "qwen3-1.7b",
    gpu: Annotated[str, typer.Option(help="h100, h200, b200, a100 or l40s.")] = "h200",
    batch: Annotated[str, typer.Option(help="Requests decoded at once.")] = "1,8,32",
    context: Annotated[str, typer.Option(help="Tokens a request: 4096 or 4k.")] = "4k,16k,64k",
    kv: Annotated[KvFormat, typer.Option(help="How keys and values are kept.")] = KvFormat.BF16,
    point: Annotated[Path | None, typer.Option(help="The operating point, a TOML file; else fields in bfloat16.")] = None,
    set: Settings = None,
    realistic: Annotated[bool, typer.Option("--realistic/--ideal", help="With time beside the bytes, or without.")] = True,
    assume: Assumed = None,
    kernels: Annotated[bool, typer.Option("--kernels", help="Also the kernels of the largest cell that fits.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Write a picture (PNG) of speed-up over context.")] = None,
    json: Json = False,
) -> None:
    """Time of a decode step, dense and with each flow, as bytes over bandwidth; nothing is run or measured.

    Weights are in bfloat16. --realistic assumes 80 % of the bandwidth over KV, 0.5 ms a step and 10 us a layer that selects;
    --assume changes kv_bandwidth, weight_bandwidth, step_ms, select_us, launch_us (a kernel) or memory_share. A cell that
    exceeds the GPU's memory is a dash.
    """
    roof = Roofline(model=find_model(model), chip=find_chip(gpu), kv_itemsize_bytes=1 if kv is KvFormat.FP8 else 2,
                    assumptions=_assumptions(REALISTIC if realistic else IDEAL, assume or []))
    grid = _Grid(batches=numbers(batch, "--batch"), contexts=numbers(context, "--context"))
    found = [_priced(name, roof, grid, point_of(point, set or [], name)) for name in flow]
    if plot is not None:
        from search.plot import draw_speedups  # matplotlib takes a second

        lines = {(one.name, size): one.speedups(size) for one in found for size in grid.batches}
        draw_speedups(lines, f"{roof.model.name} on {roof.chip.name}", plot)
    if json:
        print(to_json(record(roof, found, kv.value)))
    else:
        print(priced_text(roof, found, with_kernels=kernels) + (f"\nplot: {plot}" if plot else ""))


@dataclass(frozen=True)
class _Grid:
    batches: tuple[int, ...]
    contexts: tuple[int, ...]


def find_model(name: str) -> ModelSizes:
    """Of the table, by its name or a Hugging Face id that ends in it; else from a checkpoint's config. Raises ModelError."""
    known = MODELS.get(name.lower().rsplit("/", 1)[-1])
    if known is not None and not Path(name).is_dir():
        return known
    if name not in SHIPPED and "/" not in name and not Path(name).is_dir():
        raise ModelError(f"there is no model {name!r} in the table",
                         hint=f"{nearest(name.lower(), [*MODELS, *SHIPPED])} A folder or a Hugging Face id is taken as well.")
    from vortex.serving.checkpoint import find_checkpoint  # a second of imports that known models do without

    return find_checkpoint(name).shape.sizes(name)


def numbers(text: str, option: str) -> tuple[int, ...]:
    """`1,8,32` or `4k,1m`, in rising order."""
    found = set[int]()
    for part in text.lower().replace(" ", "").split(","):
        digits, unit = (part[:-1], UNITS[part[-1]]) if part[-1:] in UNITS else (part, 1)
        if not digits.isdecimal() or not 0 < int(digits) * unit <= LARGEST:
            raise PointError(f"{option} {text}: {part!r} is not a number of 1 to {LARGEST:,}",
                             hint=f"Numbers with commas between them, 4k is 4,096: {option} 1k,16k")
        found.add(int(digits) * unit)
    return tuple(sorted(found))


def point_of(file: Path | None, settings: list[str], flow: str) -> OperatingPoint:
    """`file`, or the usual point with what the built-in flow asks of it; `settings` go on top."""
    base = load_point(file) if file else OperatingPoint(dtype="bfloat16").with_(**flows.settings(flows.read(flow)[2]))
    return with_changes(base, settings)


def with_changes(base: OperatingPoint, settings: Sequence[str]) -> OperatingPoint:
    """`base` with settings of the form topk_val=29. Raises PointError, BudgetError."""
    for setting in settings:
        if not setting.partition("=")[0].strip() or "=" not in setting:
            raise PointError(f"--set {setting}: not of the form key=value", hint="For example: --set topk_val=29")
    changes = with_settings(parse("", "--set"), [f"point.{setting}" for setting in settings]).body.get("point", {})
    return check_budget(make_point({**base.model_dump(), **changes}))


def _assumptions(base: Assumptions, settings: list[str]) -> Assumptions:
    names = [field.name for field in dataclasses.fields(Assumptions)]
    changes: dict[str, Any] = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in names:
            raise PointError(f"--assume {setting}: {name!r} is not assumed", hint=nearest(name, names))
        share = name.endswith(("bandwidth", "share"))
        value = _number(text)
        if value is None or not (0 < value <= 1 if share else 0 <= value < 1e6):
            raise PointError(f"--assume {setting}: {'a share of 0 to 1' if share else 'a number from 0 on'} is wanted",
                             hint=f"For example: --assume {name}={getattr(base, name):g}")
        changes[name] = value
    return dataclasses.replace(base, **changes)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def graph_for(flow: str, model: ModelSizes, block_size: int) -> tuple[str, Graph]:
    """Its name, and the Graph at the model's sizes. Raises FlowError, and ModelError where the two differ in how they keep
    attention."""
    short, text, path = flows.read(flow)
    geometry = model.geometry(block_size)
    graph = load(text, path, geometry)
    if graph.geometry != geometry:
        raise ModelError(f"{short} is written for latent attention, and {model.name} keeps keys and values",
                         hint="With latents: " + ", ".join(m.name for m in MODELS.values() if m.latent) + ".")
    return short, graph


def _priced(name: str, roof: Roofline, grid: _Grid, point: OperatingPoint) -> Priced:
    short, graph = graph_for(name, roof.model, point.block_size)
    return Priced.of(short, graph, point, roof, [(b, c) for b in grid.batches for c in grid.contexts])
