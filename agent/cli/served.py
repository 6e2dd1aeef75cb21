"""What `vortex serve`, `vortex swap` and `vortex bench` are to serve: a flow's Graph at a model's sizes, and its point."""
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from agent.cli.cost import with_changes
from search.export import read_bundle
from vortex import flows
from vortex.config import OperatingPoint, load_point
from vortex.errors import EngineError
from vortex.ir import Graph

if TYPE_CHECKING:
    from vortex.serving.checkpoint import Checkpoint

Flow: TypeAlias = Annotated[str | None, typer.Option(help="A file, or the name of a built-in flow.")]
Bundle: TypeAlias = Annotated[Path | None, typer.Option(metavar="DIR", help="What `vortex export` wrote.")]
Point: TypeAlias = Annotated[Path | None, typer.Option(help="The operating point, a TOML file; else the usual one.")]
Changes: TypeAlias = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE",
                                                             help="topk_val=29, of the point; repeatable.")]


@dataclass(frozen=True, kw_only=True)
class Served:
    """`path` is the checkpoint's folder or id; without a Graph the model is served densely."""

    model: str
    path: str
    name: str
    graph: Graph | None
    point: OperatingPoint

    @property
    def text(self) -> str:
        """`quest, 0.125 of the blocks, block size 16`"""
        if self.graph is None:
            return "none: dense"
        return f"{self.name}, {_budget(self.point)}, block size {self.point.block_size}"


def served(model: str, flow: str | None, bundle: Path | None, point: Path | None, changes: Sequence[str],
           ranks: int = 1) -> Served:
    """For a server of so many `ranks` of tensor parallelism.

    Raises VortexError of every kind: an unknown model, a flow that is not legal at its sizes, a point that does not fit.
    """
    from agent.fitted import fitted  # two seconds of transformers, which help and lists do without

    if flow is not None and bundle is not None:
        raise EngineError("--flow and --bundle both name what is served", hint="A bundle holds its flow: leave --flow out.")
    name, text, path, base = _source(flow, bundle)
    at = with_changes(base if point is None else load_point(point), changes).with_(model=model, engine="sglang")
    place, graph = fitted(text, path, at, ranks)
    return Served(model=model, path=place, name=name, graph=graph, point=at)


def checkpoint_of(model: str) -> "Checkpoint":
    """Raises ModelError."""
    from vortex.serving.checkpoint import find_checkpoint  # as above

    return find_checkpoint(model, "sglang")


def _source(flow: str | None, bundle: Path | None) -> tuple[str, str | None, str, OperatingPoint]:
    """Name, text, path and the point it comes with; dense has no text."""
    usual = OperatingPoint(dtype="bfloat16" if _gpu() else "float32")
    if bundle is not None:
        found = read_bundle(bundle, trusted=True)         # its text is served, and so read in place
        return found.manifest.name, found.source, str(bundle / "flow.py"), found.point
    if flow is None:
        return "dense", None, "", usual
    name, text, path = flows.read(flow)
    return name, text, path, usual.with_(**flows.settings(path))


def _budget(point: OperatingPoint) -> str:
    if point.schedule_policy or point.topk_layers or point.ratio_layers:
        return "budget by the point"
    parts = [f"{point.topk_val} blocks"] if point.topk_val else []
    parts += [f"{point.topk_ratio:g} of the blocks"] if point.topk_ratio else []
    return " or ".join(parts) or "reserved blocks alone"


def _gpu() -> bool:
    """Summaries are kept in the GPU's usual format where one is; asked of the driver, since torch may not be installed here."""
    return Path("/dev/nvidiactl").exists()
