"""The front half of the pipeline, which needs no torch: text to canonical Graph."""
from collections.abc import Sequence
from contextlib import suppress

from vortex.compiler.passes import canonical
from vortex.errors import ShapeMismatch
from vortex.ir import Geometry, Graph, Parameter
from vortex.language.check import check
from vortex.language.flow import vFlowMLA
from vortex.language.loader import load_flow
from vortex.language.trace import trace

HEAD_DIMS = (128, 64, 256, 96, 192, 80, 32)


def load(text: str, path: str, geometry: Geometry, name: str | None = None,
         parameters: Sequence[Parameter] = ()) -> Graph:
    """The Graph of the flow that `text` registers as `name` (without one: of the last).

    A latent flow (vFlowMLA) that is asked for at a geometry of keys and values is read at the usual latent one.
    Raises FlowError, placed in `path`, when the text is not a legal flow.
    """
    flow = load_flow(text, path, name, parameters)
    if issubclass(flow, vFlowMLA) and not geometry.latent:
        geometry = Geometry.of_latent(geometry.block_size)
    graph = trace(flow, geometry)
    check(graph)
    return canonical(graph)


def load_usual(text: str, path: str, name: str | None = None, block_size: int = 16) -> Graph:
    """The Graph at the usual geometry; of a flow with parameter files, whose contents fit one model, at the first that
    they fit. Raises FlowError."""
    try:
        return load(text, path, Geometry(block_size), name)
    except ShapeMismatch:
        if ".safetensors" not in text:
            raise
        for head_dim in HEAD_DIMS[1:]:
            with suppress(ShapeMismatch):
                return load(text, path, Geometry(block_size, head_dim), name)
        raise
