"""The front half of the pipeline, which needs no torch: text to canonical Graph."""
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice, product

from vortex.compiler.passes import canonical
from vortex.errors import FlowContractError, ShapeMismatch
from vortex.ir import Geometry, Graph, Parameter
from vortex.language.check import LARGEST, check
from vortex.language.flow import vFlowMLA
from vortex.language.loader import load_flow
from vortex.language.parameters import named_in
from vortex.language.trace import trace

BLOCK_SIZES = (16, 32, 64, 1)
HEAD_DIMS = (128, 64, 256, 96, 192, 80, 32)
MOST_TRIALS = 64
MOST_RETRIED = 16_384        # characters: a longer text is not worth the time of many readings


def load(text: str, path: str, geometry: Geometry, name: str | None = None,
         parameters: Sequence[Parameter] = (), latent: Geometry | None = None) -> Graph:
    """The Graph of the flow that `text` registers as `name` (without one: of the last).

    A latent flow (vFlowMLA) that is asked for at a geometry of keys and values is read at `latent`, else at the usual one.
    Raises FlowError, placed in `path`, when the text is not a legal flow.
    """
    flow = load_flow(text, path, name, parameters)
    if issubclass(flow, vFlowMLA) and not geometry.latent:
        geometry = latent or Geometry.of_latent(geometry.block_size)
    graph = trace(flow, geometry)
    check(graph)
    return canonical(graph)


def latent_of(block_size: int = 16, channels: int | None = None, group: int | None = None) -> Geometry:
    """The latent geometry of so many channels, of which eight ninths are content, as in DeepSeek's 512 of 576."""
    usual = Geometry.of_latent(block_size)
    channels = channels or usual.head_dim
    rank = max(1, channels * 8 // 9)
    return Geometry.of_latent(block_size, rank, channels - rank, group or usual.group)


def load_usual(text: str, path: str, name: str | None = None, block_size: int | None = None) -> Graph:
    """The Graph at the usual geometry, for flows that come without a model.

    A flow that asserts its sizes is read at the first block size or head_dim that it takes, one that reshapes to another
    head_dim at that, and one whose parameter files do not fit at the first sizes that they fit. Raises FlowError, that of
    the usual geometry.
    """
    size = block_size or BLOCK_SIZES[0]
    try:
        return load(text, path, Geometry(size), name)
    except FlowContractError:
        blocks = [Geometry(other) for other in BLOCK_SIZES[1:] if block_size is None]
        for geometry in [*blocks, *(Geometry(size, head_dim) for head_dim in HEAD_DIMS[1:])] if "assert" in text else ():
            with suppress(FlowContractError, ShapeMismatch):
                return load(text, path, geometry, name)
        raise
    except ShapeMismatch as error:
        parameters = named_in(text, path) if len(text) <= MOST_RETRIED else ()
        # Sizes written into a reshape are meant; elsewhere they are likelier a mistake than another model.
        if not parameters and (len(text) > MOST_RETRIED or "do not fill" not in error.message):
            raise
        for heads, latent in islice(_fitting(parameters, size), MOST_TRIALS if parameters else len(HEAD_DIMS)):
            with suppress(FlowContractError, ShapeMismatch):
                return load(text, path, heads, name, parameters, latent)
        raise


def _fitting(parameters: Sequence[Parameter], block_size: int) -> Iterator[tuple[Geometry, Geometry]]:
    """Sizes that parameters may be made for, likely ones first: of keys and values, and of latents."""
    sizes = sorted({size for p in parameters for size in p.shape[-2:]}, reverse=True)
    shares = {b // a for a, b in product(sizes, sizes) if a > 1 and b % a == 0}
    channels = [None, *(size for size in sizes if size <= LARGEST.head_dim)]
    groups = [None, *(size for size in sorted({*sizes, *shares}, reverse=True) if size <= LARGEST.group)]
    for head_dim, group in [*((size, None) for size in HEAD_DIMS), *((size, group) for group in groups for size in channels)]:
        yield Geometry(block_size, head_dim or HEAD_DIMS[0], group or Geometry().group), latent_of(block_size, head_dim, group)
