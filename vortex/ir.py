"""What the compiler sees: frozen Nodes in a frozen Graph, JSON both ways, and a hash of the meaning.

A Graph holds two straight-line programs. `cache` runs once per completed block and writes summary fields; `indexer`
runs once per decode step and sparse layer and ends in a Selection. A value has a lead (is there one of it per row, per
block, or one in all?) and two inner axes. A row is one (request, kv head) pair.
"""
import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from vortex.errors import GraphError

FORMAT = 1
Attr: TypeAlias = "int | float | str | bool | None | tuple[Attr, ...]"
Attrs: TypeAlias = tuple[tuple[str, Attr], ...]
Writes: TypeAlias = tuple[tuple[str, int], ...]


class Lead(StrEnum):
    """How many of a value there are."""

    CONST = "const"   # one for everything: a number, a parameter
    ROW = "row"       # one per (request, kv head): the query and what is made of it
    BLOCK = "block"   # one per block of a row: fields and scores; in `cache`, the block just completed
    LIST = "list"     # not a tensor: the Selection


@dataclass(frozen=True, slots=True)
class Type:
    """The type of a value: its lead and its inner shape (`rows`, `cols`), read as [lead, rows, cols]."""

    lead: Lead
    rows: int
    cols: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows, self.cols

    def __str__(self) -> str:
        return f"[{self.lead}, {self.rows}, {self.cols}]"


SELECTION = Type(Lead.LIST, 0, 0)


@dataclass(frozen=True, slots=True)
class Node:
    """One application of an op: names of attributes are sorted; `args` index earlier nodes of the same program.

    `line` is where in the flow's source it was written; it is not part of the meaning.
    """

    op: str
    args: tuple[int, ...]
    attrs: Attrs
    type: Type
    line: int = field(default=0, compare=False)

    def attr(self, name: str) -> Any:
        return dict(self.attrs)[name]


class FieldKind(StrEnum):
    SUMMARY = "summary"   # written by forward_cache when a block completes
    STATE = "state"       # written by forward_indexer, kept to the next step, reset to `first` at completion


@dataclass(frozen=True, slots=True)
class Field:
    """A tensor kept per block and kv head, of inner shape (`rows`, `cols`)."""

    name: str
    rows: int
    cols: int
    kind: FieldKind = FieldKind.SUMMARY
    first: float | str = 0.0      # a state's value on a new block: a number, or the summary it begins at


@dataclass(frozen=True, slots=True)
class Geometry:
    """What a flow is traced for: tokens a block, channels a head, query heads per kv head.

    With latent attention (MLA) `kv_lora_rank` is not 0, there is one kv head, its rows [kv_lora_rank | qk_rope_head_dim]
    are `head_dim` wide, and `group` counts all query heads.
    """

    block_size: int = 16
    head_dim: int = 128
    group: int = 4
    kv_lora_rank: int = 0
    qk_rope_head_dim: int = 0

    @staticmethod
    def of_latent(block_size: int = 16, kv_lora_rank: int = 512, qk_rope_head_dim: int = 64, group: int = 20) -> "Geometry":
        return Geometry(block_size, kv_lora_rank + qk_rope_head_dim, group, kv_lora_rank, qk_rope_head_dim)

    @property
    def latent(self) -> bool:
        return self.kv_lora_rank > 0

    @property
    def stored(self) -> tuple[str, ...]:
        """The fields that every block has of itself."""
        return ("latent",) if self.latent else ("k", "v")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A learned constant of a flow: key `key` of a safetensors file that lies next to its text.

    `shape` is (rows, cols), (layers, rows, cols) or (layers, kv heads, rows, cols); `data` holds float32, little-endian.
    Where data is left out (an archive keeps it once for all candidates), the digest says what belongs there.
    """

    file: str
    key: str
    shape: tuple[int, ...]
    digest: str
    data: bytes = field(default=b"", compare=False, repr=False)


@dataclass(frozen=True)
class Graph:
    """A traced flow. `writes` maps a summary field to a node of `cache`; `saves` a state field to one of `indexer`."""

    name: str
    geometry: Geometry
    fields: tuple[Field, ...]
    cache: tuple[Node, ...]
    writes: Writes
    indexer: tuple[Node, ...]
    saves: Writes
    selection: int
    parameters: tuple[Parameter, ...] = ()

    def parameter(self, digest: str) -> Parameter:
        return next(p for p in self.parameters if p.digest == digest)

    def field(self, name: str) -> Field:
        return next(f for f in self.fields if f.name == name)

    @property
    def summaries(self) -> tuple[Field, ...]:
        return tuple(f for f in self.fields if f.kind is FieldKind.SUMMARY)

    @property
    def states(self) -> tuple[Field, ...]:
        return tuple(f for f in self.fields if f.kind is FieldKind.STATE)

    @property
    def hash(self) -> str:
        """32 hex digits of what the Graph means: free of names, lines, order of writing and dead nodes."""
        return _meaning(self)

    def to_json(self) -> str:
        body = {
            "format": FORMAT, "name": self.name, "geometry": asdict(self.geometry),
            "fields": [asdict(f) for f in self.fields],
            "cache": [_node_json(n) for n in self.cache], "writes": self.writes,
            "indexer": [_node_json(n) for n in self.indexer], "saves": self.saves, "selection": self.selection,
            "parameters": [_parameter_json(p) for p in self.parameters],
        }
        return json.dumps(body, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> "Graph":
        """Raises GraphError when `text` is not a Graph of this format. Legality is the business of language.check."""
        try:
            return _graph_from(json.loads(text))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError) as error:
            raise GraphError(f"not a Graph: {error}", hint=f"Graph JSON has format {FORMAT}; export it again.") from error


def _node_json(node: Node) -> list[Any]:
    return [node.op, node.args, dict(node.attrs), [node.type.lead, *node.type.shape], node.line]


def _parameter_json(parameter: Parameter) -> dict[str, Any]:
    return {"file": parameter.file, "key": parameter.key, "shape": parameter.shape, "digest": parameter.digest,
            "data": base64.b64encode(parameter.data).decode()}


def _parameter_from(body: Mapping[str, Any]) -> Parameter:
    shape = tuple(int(size) for size in body["shape"])
    return Parameter(str(body["file"]), str(body["key"]), shape, str(body["digest"]),
                     base64.b64decode(body["data"], validate=True))


def _frozen(value: Any) -> Attr:
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value


def _node_from(row: Sequence[Any], index: int) -> Node:
    op, args, attrs, (lead, rows, cols), line = row
    if any(not isinstance(a, int) or not 0 <= a < index for a in args):
        raise ValueError(f"node {index} ({op}) reads a node that does not come before it")
    frozen = tuple(sorted((str(k), _frozen(v)) for k, v in attrs.items()))
    return Node(str(op), tuple(args), frozen, Type(Lead(lead), int(rows), int(cols)), int(line))


def _writes_from(pairs: Sequence[Sequence[Any]], size: int) -> Writes:
    writes = tuple((str(name), int(node)) for name, node in pairs)
    if any(not 0 <= node < size for _, node in writes):
        raise ValueError("a field is written from a node that does not exist")
    return writes


def _graph_from(body: Mapping[str, Any]) -> Graph:
    if body["format"] != FORMAT:
        raise ValueError(f"format {body['format']}, and this program reads format {FORMAT}")
    cache = tuple(_node_from(row, i) for i, row in enumerate(body["cache"]))
    indexer = tuple(_node_from(row, i) for i, row in enumerate(body["indexer"]))
    fields = tuple(Field(f["name"], int(f["rows"]), int(f["cols"]), FieldKind(f["kind"]),
                         f["first"] if isinstance(f["first"], str) else float(f["first"])) for f in body["fields"])
    if not 0 <= int(body["selection"]) < len(indexer):
        raise ValueError("the selection is not a node")
    return Graph(str(body["name"]), Geometry(**body["geometry"]), fields, cache, _writes_from(body["writes"], len(cache)),
                 indexer, _writes_from(body["saves"], len(indexer)), int(body["selection"]),
                 tuple(_parameter_from(p) for p in body.get("parameters", ())))


def _digest(*parts: object) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def node_hash(node: Node, before: Sequence[str], named: Mapping[str, str]) -> str:
    """A node's meaning, from the hashes of the nodes before it; `named` gives the meaning behind a field's name."""
    attrs = tuple((k, named.get(v, v) if k == "name" and isinstance(v, str) else v) for k, v in node.attrs)
    return _digest(node.op, [before[a] for a in node.args], attrs, node.type.lead.value, node.type.shape)


def node_hashes(nodes: Sequence[Node], named: Mapping[str, str]) -> list[str]:
    """One hash a node of a straight-line program."""
    hashes: list[str] = []
    for node in nodes:
        hashes.append(node_hash(node, hashes, named))
    return hashes


def summary_meanings(graph: Graph) -> dict[str, str]:
    """The meaning behind the name of each summary: what is written into it."""
    cache = node_hashes(graph.cache, {})
    return {name: _digest("summary", cache[node]) for name, node in graph.writes}


def _meaning(graph: Graph) -> str:
    named = summary_meanings(graph)
    for state in graph.states:
        first = named[state.first] if isinstance(state.first, str) else state.first
        named[state.name] = _digest("state", first, state.rows, state.cols)
    # A state's value is made of its own last value: as many rounds as there are states tell any two of them apart.
    for _ in range(len(graph.states)):
        indexer = node_hashes(graph.indexer, named)
        named |= {name: _digest(named[name], indexer[node]) for name, node in graph.saves}
    indexer = node_hashes(graph.indexer, named)
    saved = sorted(named[name] for name, _ in graph.saves)
    return _digest(FORMAT, asdict(graph.geometry), indexer[graph.selection], saved)
