"""How many bits a field takes: a summary that was rounded to a format is counted at that format's size."""
from collections.abc import Mapping

from vortex.config import OperatingPoint
from vortex.ir import Field, FieldKind, Graph, Node

DTYPE_BITS = {"float32": 32, "bfloat16": 16, "float16": 16}
FORMAT_BITS = {"fp8": 8, "fp8_e5m2": 8, "int8": 8, "int4": 4}
WITH_SCALE = ("int8", "int4")
SCALE_BITS = 16
SIGN_BITS = 1
PACKED = {"fp8": "float8_e4m3fn", "fp8_e5m2": "float8_e5m2"}           # formats that need no scale
MOVING = ("transpose", "reshape", "slice", "gather", "stored")        # what they give holds only numbers they were given


def field_bytes(graph: Graph, point: OperatingPoint, fields: tuple[Field, ...] | None = None) -> int:
    """Bytes that `fields` (None: all of the Graph's) take per block and kv head."""
    homes = dict(graph.writes)
    return sum(-(-_bits(graph, homes, f, point) // 8) for f in (graph.fields if fields is None else fields))


def packed_dtype(graph: Graph, field: Field) -> str | None:
    """The narrower dtype that keeps a summary exactly, by torch's name; None: as the point says."""
    home = dict(graph.writes).get(field.name)
    if field.kind is FieldKind.STATE or home is None:
        return None
    node = _maker(graph, graph.cache[home])
    return PACKED.get(str(node.attr("format"))) if node.op == "quantize" else None


def _bits(graph: Graph, homes: Mapping[str, int], field: Field, point: OperatingPoint) -> int:
    count, full = field.rows * field.cols, DTYPE_BITS[point.dtype]
    if field.kind is FieldKind.STATE or field.name not in homes:
        return count * full
    node = _maker(graph, graph.cache[homes[field.name]])
    if node.op == "sign":
        return count * SIGN_BITS
    if node.op != "quantize":
        return count * full
    format_ = str(node.attr("format"))
    return count * FORMAT_BITS[format_] + SCALE_BITS * _scales(node, format_)


def _maker(graph: Graph, node: Node) -> Node:
    while node.op in MOVING:
        node = graph.cache[node.args[0]]
    return node


def _scales(node: Node, format_: str) -> int:
    if format_ not in WITH_SCALE:
        return 0
    return node.type.rows if dict(node.attrs).get("dim", 2) == 2 else node.type.cols
