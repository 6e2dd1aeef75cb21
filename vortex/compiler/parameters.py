"""A flow's learned constants as tensors: what a layer reads of them."""
from functools import lru_cache

import torch

from vortex.errors import EngineError
from vortex.ir import Graph, Node, Parameter


def parameter_of_layer(graph: Graph, node: Node, layer: int, heads: int) -> torch.Tensor:
    """What `node` stands for in a layer: float32 [heads or 1, 1, rows, cols]. Raises EngineError."""
    found = graph.parameter(node.attr("digest"))
    values = _of_layer(found, layer)
    if len(values) not in (1, heads):
        raise EngineError(f"{_named(found)} has values for {len(values)} kv heads, and the model has {heads}",
                          hint="Make the file for the model that is served.")
    return values


def parameter_of_head(graph: Graph, node: Node, layer: int, head: int) -> torch.Tensor:
    """The same for one kv head: float32 [1, rows, cols]. Raises EngineError."""
    found = graph.parameter(node.attr("digest"))
    values = _of_layer(found, layer)
    if len(values) > 1 and head >= len(values):
        raise EngineError(f"{_named(found)} has values for {len(values)} kv heads, and there is a head {head}",
                          hint="Make the file for the model that is served.")
    return values[head if len(values) > 1 else 0]


def _of_layer(found: Parameter, layer: int) -> torch.Tensor:
    values = _values(found, found.data)
    if len(found.shape) > 2 and not 0 <= layer < found.shape[0]:
        raise EngineError(f"{_named(found)} has values for layers 0 to {found.shape[0] - 1}, and there is a layer {layer}",
                          hint="Make the file for the model that is served.")
    return values[layer if len(found.shape) > 2 else 0]


@lru_cache(maxsize=64)
def _values(found: Parameter, data: bytes) -> torch.Tensor:
    """All of it: float32 [layers or 1, kv heads or 1, 1, rows, cols]."""
    if not data:
        raise EngineError(f"the Graph does not hold the contents of {_named(found)}",
                          hint="Give it the parameters that it was traced with.")
    *lead, rows, cols = found.shape
    layers, heads = [*lead, 1, 1][:2]
    return torch.frombuffer(bytearray(data), dtype=torch.float32).reshape(layers, heads, 1, rows, cols)


def _named(found: Parameter) -> str:
    return f"key {found.key!r} of {found.file}"
