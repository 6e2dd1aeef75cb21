"""The front half of the pipeline, which needs no torch: text to canonical Graph."""
from collections.abc import Sequence
from contextlib import suppress

from vortex.compiler.passes import canonical
from vortex.errors import FlowContractError, FlowError, ShapeMismatch
from vortex.ir import Geometry, Graph, Parameter
from vortex.language.check import check
from vortex.language.flow import vFlowMLA
from vortex.language.loader import load_flow
from vortex.language.trace import trace

BLOCK_SIZES = (16, 32, 64, 1)
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


def load_usual(text: str, path: str, name: str | None = None, block_size: int | None = None) -> Graph:
    """The Graph at the usual geometry, for flows that come without a model.

    A flow that asserts its sizes is read at the first block size that it takes, and one whose parameter files do not fit
    at the first head_dim that they fit. Raises FlowError, that of the usual geometry.
    """
    try:
        return load(text, path, Geometry(block_size or BLOCK_SIZES[0]), name)
    except (FlowContractError, ShapeMismatch) as error:
        for geometry in _others(error, text, block_size):
            with suppress(FlowContractError, ShapeMismatch):
                return load(text, path, geometry, name)
        raise


def _others(error: FlowError, text: str, block_size: int | None) -> list[Geometry]:
    """A shape that does not fit is a mistake at any size, but for shapes that a file decides."""
    if isinstance(error, FlowContractError):
        return [Geometry(size) for size in BLOCK_SIZES[1:]] if block_size is None and "assert" in text else []
    return [Geometry(block_size or BLOCK_SIZES[0], head_dim) for head_dim in HEAD_DIMS[1:]] if ".safetensors" in text else []
