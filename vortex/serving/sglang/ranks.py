"""What one rank of tensor parallelism serves: kv heads are shared out, and with them whatever is told of each head.

Lists are made by kv head, so that ranks choose by themselves and exchange nothing. Where there are more ranks than kv heads a
head stands on several ranks, and with latent attention (MLA) the one latent head on all: each then chooses for its own query
heads, from a Graph that was traced for as many.
"""
from dataclasses import dataclass, replace

import numpy as np

from vortex.config import OperatingPoint
from vortex.errors import EngineError
from vortex.ir import Graph, Node, Parameter
from vortex.language.parameters import digest_of
from vortex.serving.checkpoint import ModelShape

TABLES = ("topk_layers", "ratio_layers")
STRIDE = 0x9E3779B97F4A7C15               # between the seeds of two ranks: heads of both draw numbers of their own


@dataclass(frozen=True, kw_only=True)
class Share:
    """Of `total` kv heads those from `first` on, `heads` of them."""

    rank: int = 0
    first: int = 0
    heads: int
    total: int

    @property
    def whole(self) -> bool:
        return self.heads == self.total

    def seed(self, seed: int) -> int:
        """A request's seed on this rank; rank 0 has it as it is."""
        return seed + self.rank * STRIDE

    def point(self, point: OperatingPoint) -> OperatingPoint:
        """With what its tables say of these heads. Raises EngineError for an entry that is not for all heads of the model."""
        return point if self.whole else point.with_(**{
            name: tuple(self._entry(name, entry) for entry in getattr(point, name)) for name in TABLES})

    def graph(self, graph: Graph) -> Graph:
        """With these heads' part of its parameters."""
        if self.whole:
            return graph
        parts = {p.digest: self._parameter(p) for p in graph.parameters}
        return replace(graph, parameters=tuple(parts[p.digest] for p in graph.parameters),
                       cache=tuple(_renamed(node, parts) for node in graph.cache),
                       indexer=tuple(_renamed(node, parts) for node in graph.indexer))

    def _entry(self, name: str, entry: object) -> object:
        if not isinstance(entry, tuple):
            return entry
        if len(entry) != self.total:
            raise EngineError(f"{name} has an entry of {len(entry)} values; the model has {self.total} kv heads",
                              hint="An entry is one value for all kv heads of the model, or one for each.")
        return entry[self.first:self.first + self.heads]

    def _parameter(self, found: Parameter) -> Parameter:
        if len(found.shape) < 4 or found.shape[1] == 1 or not found.data:
            return found
        if found.shape[1] != self.total:
            raise EngineError(f"key {found.key!r} of {found.file} has values for {found.shape[1]} kv heads; the model has "
                              f"{self.total}", hint="Make the file for the model that is served.")
        values = np.frombuffer(found.data, "<f4").reshape(found.shape)[:, self.first:self.first + self.heads]
        data = np.ascontiguousarray(values).tobytes()
        return replace(found, shape=values.shape, data=data, digest=digest_of(values.shape, data))


def share_of(rank: int, ranks: int, kv_heads: int) -> Share:
    """Of the rank-th of `ranks`, as SGLang shares heads out: in order, and the same head side by side where ranks are more.

    Raises EngineError where neither number divides the other.
    """
    if kv_heads % ranks and ranks % kv_heads:
        raise EngineError(f"{kv_heads} kv heads are not shared evenly by {ranks} ranks",
                          hint="Choose a tensor parallel size that divides the kv heads, or that they divide.")
    return Share(rank=rank, first=rank * kv_heads // ranks, heads=max(1, kv_heads // ranks), total=kv_heads)


def rank_shape(shape: ModelShape, ranks: int) -> ModelShape:
    """What each of `ranks` serves of a model: flows are traced for its geometry. Raises EngineError for uneven shares."""
    own = share_of(0, ranks, shape.kv_heads)
    heads = shape.kv_heads * shape.group
    if heads % ranks:
        raise EngineError(f"{heads} query heads are not shared evenly by {ranks} ranks",
                          hint="Choose a tensor parallel size that divides the query heads.")
    return replace(shape, kv_heads=own.heads, group=heads // ranks // own.heads)


def _renamed(node: Node, parts: dict[str, Parameter]) -> Node:
    if node.op != "param":
        return node
    attrs = tuple((key, parts[str(value)].digest if key == "digest" else value) for key, value in node.attrs)
    return replace(node, attrs=attrs)
