"""The front half of the pipeline, which needs no torch: text to canonical Graph."""
from vortex.compiler.passes import canonical
from vortex.ir import Geometry, Graph
from vortex.language.check import check
from vortex.language.loader import load_flow
from vortex.language.trace import trace


def load(text: str, path: str, geometry: Geometry) -> Graph:
    """Raises FlowError, placed in `path`, when the text is not a legal flow."""
    graph = trace(load_flow(text, path), geometry)
    check(graph)
    return canonical(graph)
