"""Hypothesis strategies that several rooms share: random legal Graphs, made op by op from the records."""
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from vortex.errors import FlowError
from vortex.ir import SELECTION, Field, FieldKind, Geometry, Graph, Lead, Node, Parameter, Type
from vortex.language.ops.record import OPS, Op, Side
from vortex.language.parameters import digest_of

PLAIN = st.builds(Geometry, block_size=st.sampled_from([2, 4, 8]), head_dim=st.sampled_from([4, 6]),
                  group=st.sampled_from([1, 2, 3]))
LATENT = st.builds(Geometry.of_latent, block_size=st.sampled_from([2, 4]), kv_lora_rank=st.just(4),
                   qk_rope_head_dim=st.sampled_from([0, 2]), group=st.sampled_from([1, 2, 5]))
GEOMETRIES = st.one_of(PLAIN, PLAIN, LATENT)
NUMBERS = st.floats(-4, 4, width=16).map(lambda x: x + 0.0)
MOST_NUMBERS = 512
LAYERS, HEADS = 6, 4          # of parameters that have one entry for each
APART = {"input", "field", "state", "const", "stored", "everything", "topk", "top_p", "threshold", "union", "param"}
Draw = Callable[[st.SearchStrategy[Any]], Any]

def _size(draw: Draw, types: Sequence[Type]) -> tuple[int, int]:
    """An inner axis, and how long all operands are along it."""
    dim = draw(st.sampled_from([1, 2]))
    return dim, min(t.shape[dim - 1] for t in types)


def _attributes(draw: Draw, op: str, types: Sequence[Type]) -> dict[str, Any]:
    """Attributes that `op` is likely to take."""
    dim, size = _size(draw, types) if types else (1, 1)
    if op == "mask":
        start = draw(st.integers(0, size))
        return {"dim": dim, "start": start, "stop": draw(st.integers(start, size)), "inside": draw(NUMBERS),
                "outside": draw(NUMBERS)}
    if op == "largest":
        return {"r": draw(st.integers(1, types[0].cols))}
    if op == "quantize":
        name = draw(st.sampled_from(["fp8", "fp8_e5m2", "int8", "int4"]))
        return {"format": name, "dim": 2 if name.startswith("fp8") else dim}
    if op == "slice":
        start = draw(st.integers(0, size - 1))
        return {"dim": dim, "start": start, "stop": draw(st.integers(start + 1, size))}
    if op == "gather":
        return {"dim": dim, "indices": tuple(draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=4)))}
    if op == "reshape":
        total = types[0].rows * types[0].cols
        rows = draw(st.sampled_from([n for n in range(1, total + 1) if total % n == 0]))
        return {"rows": rows, "cols": total // rows}
    if op == "kron":
        return {"dim": draw(st.sampled_from([1, 2, (1, 2)]))}
    if op in ("cat", "take"):
        return {"dim": dim}
    if op == "softmax":
        return {"scale": draw(NUMBERS)}
    if op == "conv":
        return {"taps": tuple(draw(st.lists(NUMBERS, min_size=1, max_size=3)))}
    if "every" in OPS[op].attr_names:
        groups = [n for n in range(1, size + 1) if size % n == 0]
        return {"dim": dim, **draw(st.one_of(st.just({}), st.builds(lambda n: {"every": n}, st.sampled_from(groups))))}
    return {}


class Program:
    """One side of a Graph while it is being drawn."""

    def __init__(self, draw: Draw, side: Side, geometry: Geometry) -> None:
        self.draw = draw
        self.side = side
        self.geometry = geometry
        self.nodes: list[Node] = []

    def add(self, op: str, args: Sequence[int], attrs: dict[str, Any], type_: Type | None = None) -> int:
        """Raises FlowError where the op does not take these operands."""
        made = type_ or OPS[op].infer([self.nodes[a].type for a in args], attrs, self.geometry)
        if made.rows * made.cols > MOST_NUMBERS:
            raise FlowError("too large for a test")
        self.nodes.append(Node(op, tuple(args), tuple(sorted(attrs.items())), made))
        return len(self.nodes) - 1

    def tensors(self, lead: Lead | None = None) -> list[int]:
        return [i for i, n in enumerate(self.nodes) if n.op != "const" and n.type.lead in ({lead} if lead else Lead)]

    def any_op(self) -> None:
        """One more value: the first of a few drawn ops that takes the operands drawn for it."""
        usable = sorted(name for name, op in OPS.items() if self.side in op.sides and name not in APART and op.written_as is None)
        for _ in range(6):
            op = OPS[self.draw(st.sampled_from(usable))]
            try:
                args = self._operands(op)
                attrs = _attributes(self.draw, op.name, [self.nodes[a].type for a in args])
                self.add(op.name, self._with_number(op, args), attrs)
            except FlowError:
                continue
            return

    def _operands(self, op: Op) -> list[int]:
        """Values of the tape, late ones more often; a product gets a second one that fits, if there is one."""
        recent = self.tensors()[-4:] + self.tensors()
        if op.across_blocks:
            recent = [i for i in recent if self.nodes[i].type.lead is Lead.BLOCK]
        arity = op.arity if op.arity is not None else self.draw(st.integers(1, 3))
        args = [self.draw(st.sampled_from(recent)) for _ in range(arity)]
        if op.name in ("largest", "take"):
            args[-1] = self.draw(st.sampled_from([i for i in recent if self.nodes[i].type.rows == 1] or recent))
        if op.name == "matmul":
            wide = self.nodes[args[0]].type.cols
            fitting = [i for i in self.tensors() if wide in self.nodes[i].type.shape]
            args[1] = self.draw(st.sampled_from(fitting))
            if self.nodes[args[1]].type.rows != wide:
                args[1] = self.add("transpose", [args[1]], {})
        return args

    def _with_number(self, op: Op, args: list[int]) -> list[int]:
        """Sometimes an operand that is a number, where the op takes one."""
        if op.numbers and len(args) > 1 and self.draw(st.booleans()):
            number = self.add("const", [], {"value": self.draw(NUMBERS)})
            return [*args[:-1], number]
        return args

    def one_number(self, index: int) -> int:
        """`index` reduced to one number a block."""
        for dim in (1, 2):
            if self.nodes[index].type.shape[dim - 1] > 1:
                index = self.add(self.draw(st.sampled_from(["mean", "max", "sum"])), [index], {"dim": dim})
        return index


def _cache(draw: Draw, geometry: Geometry) -> tuple[Program, dict[str, int]]:
    cache = Program(draw, Side.CACHE, geometry)
    for name in geometry.stored:
        cache.add("field", [], {"name": name})
    writes: dict[str, int] = {}
    for _ in range(draw(st.integers(1, 6))):
        cache.any_op()
        if draw(st.booleans()):
            writes[f"f{len(writes)}"] = draw(st.sampled_from(cache.tensors()))
            if draw(st.booleans()):
                cache.add("stored", [writes[f"f{len(writes) - 1}"]], {})
    return cache, writes


def _indexer(draw: Draw, geometry: Geometry, fields: list[Field], parameters: Sequence[Parameter]) -> Program:
    indexer = Program(draw, Side.INDEXER, geometry)
    indexer.add("input", [], {"name": "q"})
    indexer.add("field", [], {"name": geometry.stored[0]})
    for parameter in parameters:
        rows, cols = parameter.shape[-2:]
        indexer.add("param", [], {"digest": parameter.digest, "rows": rows, "cols": cols})
    for f in fields:
        kind = "state" if f.kind is FieldKind.STATE else "field"
        indexer.add(kind, [], {"name": f.name}, Type(Lead.BLOCK, f.rows, f.cols))
    for _ in range(draw(st.integers(3, 12))):
        indexer.any_op()
    return indexer


def _score(draw: Draw, indexer: Program) -> int:
    """The sum of the latest value and perhaps others, each reduced to one number a block."""
    blocks = indexer.tensors(Lead.BLOCK)
    others = draw(st.lists(st.sampled_from(blocks), max_size=2))
    score, *rest = [indexer.one_number(part) for part in (blocks[-1], *others)]
    for number in rest:
        score = indexer.add("add", [score, number], {})
    return score


def _selection(draw: Draw, indexer: Program) -> int:
    """One rule, or up to three united."""
    made = _rule(draw, indexer)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        other = _rule(draw, indexer)
        made = indexer.add("union", draw(st.permutations([made, other])), {})
    return made


def _rule(draw: Draw, indexer: Program) -> int:
    rules: dict[str, list[dict[str, Any]]] = {
        "topk": [{}, {}, {"k": draw(st.integers(1, 5))}, {"tolerance": 0.25}], "top_p": [{"p": 0.5}, {"p": 1.0}],
        "threshold": [{"t": draw(NUMBERS)}], "everything": [{}]}
    name = draw(st.sampled_from([*["topk"] * 5, "top_p", "threshold", *["topk"] * 4, "everything"]))
    score = [] if name == "everything" else [_score(draw, indexer)]
    return indexer.add(name, score, draw(st.sampled_from(rules[name])))


@st.composite
def _parameter(draw: Draw) -> Parameter:
    """A few numbers; of each layer, and of each kv head, or of all."""
    shape = (*draw(st.sampled_from([(), (LAYERS,), (LAYERS, HEADS)])), draw(st.integers(1, 3)), draw(st.sampled_from([1, 4, 6])))
    seed = draw(st.integers(0, 9))
    data = np.random.default_rng(seed).normal(size=shape).astype("<f4").tobytes()
    return Parameter("weights.safetensors", f"w{seed}", shape, digest_of(shape, data), data)


def _state(draw: Draw, geometry: Geometry, fields: Sequence[Field]) -> Field:
    """State that begins at a number, or at a summary."""
    shapes = [(1, 1), (geometry.group, 1), (1, geometry.head_dim)]
    begins: list[tuple[int, int, float | str]] = [(rows, cols, draw(NUMBERS)) for rows, cols in shapes]
    rows, cols, first = draw(st.sampled_from([*begins, *((f.rows, f.cols, f.name) for f in fields)]))
    return Field("s", rows, cols, FieldKind.STATE, first)


@st.composite
def graphs(draw: Draw, states: bool = True, parameters: bool = True) -> Graph:
    """Legal Graphs of a few ops, with summaries and, if wanted, state and parameters."""
    geometry = draw(GEOMETRIES)
    cache, writes = _cache(draw, geometry)
    fields = [Field(name, *cache.nodes[node].type.shape) for name, node in writes.items()]
    if states and draw(st.booleans()):
        fields.append(_state(draw, geometry, fields))
    drawn = st.lists(_parameter(), max_size=2, unique_by=lambda p: p.key) if parameters else st.just([])
    learned = draw(drawn)
    indexer = _indexer(draw, geometry, fields, learned)
    saves = []
    for f in fields:
        if f.kind is FieldKind.STATE:
            fitting = [i for i in indexer.tensors(Lead.BLOCK) if indexer.nodes[i].type.shape == (f.rows, f.cols)]
            saves.append((f.name, draw(st.sampled_from(fitting))))
    selection = _selection(draw, indexer)
    assert indexer.nodes[selection].type == SELECTION
    return Graph("drawn", geometry, tuple(fields), tuple(cache.nodes), tuple(writes.items()),
                 tuple(replace(n, line=0) for n in indexer.nodes), tuple(saves), selection, tuple(learned))
