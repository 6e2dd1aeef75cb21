"""The front half of the pipeline, which needs no torch: text to canonical Graph."""
from collections.abc import Sequence

from vortex.compiler.passes import canonical
from vortex.ir import Geometry, Graph, Parameter
from vortex.language.check import check
from vortex.language.flow import vFlowMLA
from vortex.language.loader import load_flow
from vortex.language.trace import trace


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
