"""What `vortex serve` and `vortex swap` are to serve: a flow's Graph at a model's sizes, and its operating point."""
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from agent.cli.cost import with_changes
from search.export import read_bundle
from vortex import flows
from vortex.compiler.front import load
from vortex.config import OperatingPoint, load_point
from vortex.errors import EngineError, MissingExtra, ModelError
from vortex.ir import Geometry, Graph

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
        """`quest  topk_ratio 0.125, block size 16`"""
        if self.graph is None:
            return "none: dense"
        point = self.point
        budget = (f"{point.topk_val} blocks" if point.topk_val else "") if not point.topk_ratio else \
            f"{point.topk_ratio:g} of the blocks"
        return f"{self.name}, {budget or 'budget by the point'}, block size {point.block_size}"


def served(model: str, flow: str | None, bundle: Path | None, point: Path | None, changes: Sequence[str]) -> Served:
    """Raises VortexError of every kind: an unknown model, a flow that is not legal at its sizes, a point that does not fit."""
    if flow is not None and bundle is not None:
        raise EngineError("--flow and --bundle both name what is served", hint="A bundle holds its flow: leave --flow out.")
    checkpoint = checkpoint_of(model)
    name, text, path, base = _source(flow, bundle)
    if point is not None:
        base = load_point(point)
    at = with_changes(base, changes).with_(model=model, engine="sglang")
    graph = None
    if text:
        geometry = checkpoint.shape.geometry(at.block_size)
        graph = load(text, path, geometry)
        _check_kind(name, graph, geometry)
    from vortex.serving.layers import check_point  # as above

    check_point(at, graph, checkpoint.shape)
    return Served(model=model, path=checkpoint.path, name=name, graph=graph, point=at)


def _source(flow: str | None, bundle: Path | None) -> tuple[str, str, str, OperatingPoint]:
    """Name, text, path and the point it comes with; no text: dense."""
    usual = OperatingPoint(dtype="bfloat16" if _gpu() else "float32")
    if bundle is not None:
        found = read_bundle(bundle)
        return found.manifest.name, found.source, str(bundle / "flow.py"), found.point
    if flow is None:
        return "dense", "", "", usual
    name, text, path = flows.read(flow)
    return name, text, path, usual.with_(**flows.settings(path))


def _check_kind(name: str, graph: Graph, geometry: Geometry) -> None:
    if graph.geometry != geometry:
        kind = "keeps keys and values" if graph.geometry.kv_lora_rank else "keeps latents"
        raise ModelError(f"{name} is written for another kind of attention: this model {kind}",
                         hint=f"Flows for latents: {', '.join(flows.LATENT)}." if geometry.kv_lora_rank else
                         "vortex flows lists those for keys and values.")


def checkpoint_of(model: str) -> "Checkpoint":
    """Raises ModelError, and MissingExtra where configs cannot be read."""
    if importlib.util.find_spec("transformers") is None:
        raise MissingExtra("a model's config is read with transformers, which is not installed",
                           hint='pip install "vortex-platform[eval]"')
    from vortex.serving.checkpoint import find_checkpoint  # where transformers lacks, that is the message

    return find_checkpoint(model)


def _gpu() -> bool:
    """Summaries are kept in the GPU's usual format where one is; asked of the driver, since torch may not be installed here."""
    return Path("/dev/nvidiactl").exists()
