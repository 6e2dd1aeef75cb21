"""A flow fitted to the model that SGLang is to serve it on: its Graph at a rank's sizes, checked with its point."""
from dataclasses import replace

from vortex.compiler.front import load
from vortex.config import OperatingPoint
from vortex.ir import Graph
from vortex.serving.checkpoint import ModelShape, find_checkpoint
from vortex.serving.layers import check_point
from vortex.serving.sglang.checks import check_flow
from vortex.serving.sglang.ranks import share_of


def fitted(text: str | None, path: str, point: OperatingPoint, ranks: int) -> tuple[str, Graph | None]:
    """The checkpoint's folder or id, and the Graph of a flow's `text`; none without one.

    `ranks` share the model's heads out. Raises VortexError: an unknown model, a flow that is not legal at its sizes, a point
    that does not fit.
    """
    checkpoint = find_checkpoint(point.model, "sglang")
    graph = None
    if text is not None:
        shape = _of_rank(checkpoint.shape, ranks)
        graph = load(text, path, shape.geometry(point.block_size))
        check_flow(graph, point, shape)
    check_point(point, graph, checkpoint.shape)
    return checkpoint.path, graph


def _of_rank(shape: ModelShape, ranks: int) -> ModelShape:
    """Heads as tensor parallelism shares them out. Raises EngineError."""
    kv_heads = share_of(0, ranks, shape.kv_heads).heads
    return replace(shape, kv_heads=kv_heads, group=shape.kv_heads * shape.group // ranks // kv_heads)
