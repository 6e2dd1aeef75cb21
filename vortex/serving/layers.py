"""What layers do in a decode step, and what engines refuse before anything runs: points that do not fit the model,
requests that cannot be."""
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vortex.budget import budget
from vortex.config import OperatingPoint
from vortex.errors import EngineError
from vortex.ir import Graph
from vortex.serving.checkpoint import ModelShape
from vortex.serving.engine import Request

BY_LAYER = ("topk_layers", "ratio_layers", "layer_modes")


@dataclass(frozen=True)
class Layers:
    """Those in neither set attend densely."""

    select: frozenset[int] = frozenset()  # keep summaries and choose blocks
    reuse: frozenset[int] = frozenset()   # attend what the last layer before them chose that selects


def check_point(point: OperatingPoint, graph: Graph | None, shape: ModelShape) -> Layers:
    """What each layer does at `point`; all are dense without a flow. Raises EngineError, BudgetError."""
    if not point.model:
        raise EngineError("the operating point names no model", hint='Set it: model = "probe".')
    _check_tables(point, shape)
    if graph is None:
        return Layers()
    modes = [point.mode(layer) for layer in range(shape.layers)]
    layers = Layers(*(frozenset(layer for layer, mode in enumerate(modes) if mode == wanted)
                      for wanted in ("select", "reuse")))
    if layers.reuse and min(layers.reuse) < min(layers.select, default=shape.layers):
        raise EngineError(f"layer {min(layers.reuse)} reuses the lists of a layer before it, and none before it selects",
                          hint='In layer_modes let an earlier layer be "select", or this one "dense".')
    check_budgets(point, layers, shape, [1])
    _check_parameters(graph, layers, shape)
    return layers


def check_budgets(point: OperatingPoint, layers: Layers, shape: ModelShape, blocks: Iterable[int]) -> None:
    """That a row of so many blocks has a budget in every layer that selects. Raises BudgetError."""
    for n in set(blocks):
        for layer in layers.select:
            for head in range(shape.kv_heads):
                budget(n, point, layer, head)


def _check_tables(point: OperatingPoint, shape: ModelShape) -> None:
    beyond = [layer for layer in point.layers_skip if not 0 <= layer < shape.layers]
    if beyond:
        raise EngineError(f"layers_skip names layer {beyond[0]}; the model has layers 0 to {shape.layers - 1}")
    for name in BY_LAYER:
        table: tuple[object, ...] = getattr(point, name)
        if len(table) > shape.layers:
            raise EngineError(f"{name} has {len(table)} entries; the model has {shape.layers} layers",
                              hint="Leave entries out: the last one holds for all further layers.")
        for layer, entry in enumerate(table):
            if isinstance(entry, tuple) and len(entry) != shape.kv_heads:
                raise EngineError(f"{name} has {len(entry)} values for layer {layer}; the model has {shape.kv_heads} kv "
                                  "heads", hint="An entry is one value for all kv heads, or one for each.")


def _check_parameters(graph: Graph, layers: Layers, shape: ModelShape) -> None:
    wanted = max(layers.select, default=-1) + 1
    for found in graph.parameters:
        if len(found.shape) > 2 and found.shape[0] < wanted:
            raise EngineError(f"key {found.key!r} of {found.file} has values for {found.shape[0]} layers, and layer "
                              f"{wanted - 1} selects", hint="Make the file for the model that is served.")
        if len(found.shape) > 3 and found.shape[1] not in (1, shape.kv_heads):
            raise EngineError(f"key {found.key!r} of {found.file} has values for {found.shape[1]} kv heads; the model has "
                              f"{shape.kv_heads}", hint="Make the file for the model that is served.")


def check_requests(requests: Sequence[Request], shape: ModelShape) -> None:
    """Raises EngineError for the first request that cannot be."""
    seen: set[str] = set()
    for request in requests:
        if request.id in seen:
            raise EngineError(f"two requests are called {request.id!r}", hint="Ids are unique within a call.")
        seen.add(request.id)
        if not request.tokens or request.max_new_tokens < 1:
            raise EngineError(f"request {request.id!r} has nothing to do",
                              hint="A request has at least one token and asks for at least one.")
        strange = [token for token in request.tokens if not 0 <= token < shape.vocabulary]
        if strange:
            raise EngineError(f"request {request.id!r} holds token {strange[0]}; the vocabulary has {shape.vocabulary}")
