"""The op objects of the public upstream: each record writes what its formula says, and refuses what the upstream does."""
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from tests.language.test_ops import BLOCKS, Row, data
from vortex.errors import BadArgument, FlowError, ShapeMismatch
from vortex.ir import SELECTION, Geometry, Lead, Node, Type
from vortex.language.ops.record import OPS, REQUIRED, Side, Upstream
from vortex.language.symbols import TAPE, Tape, Value

NAN = float("nan")
HIDDEN = -1e30
BLOCK = Type(Lead.BLOCK, 4, 6)
ROW = Type(Lead.ROW, 4, 6)
ONE = Type(Lead.BLOCK, 1, 1)
RECORDS = [(side, record) for op in OPS.values() for record in op.upstream for side in record.sides]


def found(side: Side, name: str) -> Upstream:
    return next(record for at, record in RECORDS if at is side and record.name == name)


@contextmanager
def taped(side: Side) -> Iterator[Tape]:
    tape = Tape(side, Geometry(), "nowhere")
    token = TAPE.set(tape)
    try:
        yield tape
    finally:
        TAPE.reset(token)


def leaves(tape: Tape, types: tuple[Type, ...]) -> list[Value]:
    return [tape.write(Node("field", (), (("name", f"x{i}"),), type_)) for i, type_ in enumerate(types)]


def written(side: Side, name: str, types: tuple[Type, ...], params: dict[str, Any]) -> tuple[Tape, Value]:
    """The tape on which one call of the object was written, and its value."""
    record = found(side, name)
    with taped(side) as tape:
        given = {key: params.get(key, default) for key, default in record.params}
        assert set(params) <= set(given)
        assert REQUIRED not in given.values()
        record.check(**given)
        return tape, record.write(*leaves(tape, types), **given)


def evaluated(tape: Tape, value: Value, arrays: list[Any]) -> Any:
    made: list[Any] = []
    for node in tape.nodes:
        made.append(torch.from_numpy(arrays[len(made)]) if node.op == "field" else
                    OPS[node.op].evaluate(Row(), *(made[a] for a in node.args), **dict(node.attrs)))
    out = made[value._index]
    return out.expand(BLOCKS if value._node.type.lead is Lead.BLOCK else 1, *out.shape[1:]).numpy()


def reduced(function: Callable[..., Any], dim: int) -> Callable[..., Any]:
    """Along dim 1 or 2, or over the middle blocks 2 .. 5."""
    return lambda x: function(x[2:6], 0)[None] if dim == 0 else np.expand_dims(function(x, dim), dim)


def neighbours(function: Callable[..., Any], dim: int, k: int) -> Callable[..., Any]:
    def made(x: Any) -> Any:
        parts = [function(x.take(range(g, g + k), axis=dim), dim) for g in range(0, x.shape[dim], k)]
        return np.stack(parts, axis=dim)
    return made


def product(x: Any, y: Any) -> Any:
    """O[s, a, b] = sum over k of Y[s, a, k] * X[s, b, k]."""
    return np.stack([y[s % len(y)] @ x[s % len(x)].T for s in range(max(len(x), len(y)))])


def hidden_unless(holds: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, y: np.where(holds(x, y), 0, HIDDEN)


def flat_softmax(x: Any, scale: float) -> Any:
    out = np.zeros_like(x)
    e = np.exp(scale * x[2:6] - (scale * x[2:6]).max(0))
    out[2:6] = e / e.sum(0)
    return out


def causal(x: Any, weight: Any) -> Any:
    out = np.zeros_like(x)
    for p in range(4):
        for k in range(min(p + 1, len(weight))):
            out[2 + p] += np.asarray(weight[k], dtype=np.float32) * x[2 + p - k]
    return out


def length(x: Any, axis: int) -> Any:
    return np.sqrt((x * x).sum(axis))


PAIR, WIDE = (BLOCK, BLOCK), (Type(Lead.ROW, 4, 6), Type(Lead.BLOCK, 1, 6))
WEIGHT = [[[0.5] * 6] * 4, [[0.25] * 6] * 4]
UNEVEN = [[[0.5, -1.0]], [[2.0, 0.0]], [[1.0, 3.0]]]
Formula = Callable[..., Any]
UNARY: dict[str, Formula] = {
    "Relu": lambda x, alpha, beta: np.where(x >= alpha, x, beta),
    "Sigmoid": lambda x, alpha, beta: 1 / (1 + np.exp(beta * x + alpha)),
    "Silu": lambda x, alpha, beta: x / (1 + np.exp(beta * x + alpha)),
    "Add_Mul": lambda x, alpha, beta: beta * x + alpha,
    "Abs": lambda x, alpha, beta: np.abs(beta * x + alpha),
    "Log": lambda x, alpha, beta: np.log(beta * x + alpha),
    "Exp": lambda x, alpha, beta: np.exp(beta * x + alpha),
}
BINARY: dict[str, Formula] = {"Multiply": np.multiply, "Maximum": np.maximum, "Minimum": np.minimum, "GeMM": product}
RELATIONS = {"Equal": np.equal, "NotEqual": np.not_equal, "Greater": np.greater, "GreaterEqual": np.greater_equal,
             "Less": np.less, "LessEqual": np.less_equal}
REDUCTIONS: dict[str, Formula] = {"Mean": np.mean, "Max": np.max, "Min": np.min, "L2Norm": length}
SCALARS = [(0.0, 0.0), (0.0, 1.0), (0.0, -1.0), (0.5, 1.0), (-0.5, -1.0), (0.25, -0.02), (1e-6, 2.0)]

Case = tuple[Side, str, tuple[Type, ...], dict[str, Any], Formula]
C, I = Side.CACHE, Side.INDEXER  # noqa: E741  # one letter a side keeps the table readable
CASES: list[Case] = [
    *((side, name, (BLOCK,), {"alpha": a, "beta": b}, lambda x, f=formula, a=a, b=b: f(x, a, b))
      for side in Side for name, formula in UNARY.items() for a, b in SCALARS),
    *((side, "Add", WIDE if side is I else PAIR, {"alpha": a, "beta": b}, lambda x, y, a=a, b=b: a * x + b * y)
      for side in Side for a, b in [(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (0.5, 1.0), (2.0, -1.0), (-1.0, -1.0), (-1.0, 0.5)]),
    *((side, f"Where{name}", PAIR, {}, hidden_unless(holds)) for side in Side for name, holds in RELATIONS.items()),
    *((side, name, PAIR, {}, formula) for side in Side for name, formula in BINARY.items()),
    (I, "Multiply", (BLOCK, Type(Lead.ROW, 1, 6)), {"alpha": 3.0, "beta": 3.0}, np.multiply),
    (I, "GeMM", (ROW, Type(Lead.BLOCK, 1, 6)), {}, product),
    (I, "GeMM", (Type(Lead.BLOCK, 3, 6), ROW), {}, product),
    (I, "GeMV", (Type(Lead.ROW, 1, 6), Type(Lead.BLOCK, 1, 6)), {}, product),
    *((side, name, (BLOCK,), {"dim": dim}, reduced(formula, dim))
      for side in Side for name, formula in REDUCTIONS.items() for dim in ((1, 2) if side is C else (0, 1, 2))),
    *((I, "Sum", (BLOCK,), {"dim": dim}, reduced(np.sum, dim)) for dim in (0, 1, 2)),
    *((C, f"{name}Interleave", (BLOCK,), {"dim": dim, "k": k}, neighbours(formula, dim, k))
      for name, formula in REDUCTIONS.items() for dim, k in [(1, 1), (1, 2), (1, 4), (2, 3), (2, 6)]),
    *((I, "Softmax", (BLOCK,), {"scale": s}, lambda x, s=s: flat_softmax(x, s)) for s in (1.0, 0.09, -2.0, 0)),
    (I, "Normalize", (BLOCK,), {}, lambda x: np.concatenate(
        [x[:2] * 0, x[2:6] / np.sqrt((x[2:6] ** 2).sum(0)), x[6:] * 0])),
    (I, "Conv1d", (BLOCK,), {"weight": WEIGHT}, lambda x: causal(x, WEIGHT)),
    (I, "Conv1d", (Type(Lead.BLOCK, 1, 2),), {"weight": UNEVEN, "dim": 0}, lambda x: causal(x, UNEVEN)),
    (I, "Transpose", (BLOCK,), {}, lambda x: x.swapaxes(1, 2)),
    *((side, "Reshape", (BLOCK,), {"batch_dim": -1, "x2": a, "y2": b}, lambda x, a=a, b=b: x.reshape(-1, a, b))
      for side in Side for a, b in [(3, 8), (1, 24), (4, 6)]),
    (I, "Kron", (Type(Lead.ROW, 4, 6), Type(Lead.BLOCK, 2, 6)), {"dim": 1},
     lambda x, y: np.stack([np.stack([a * b for a in x[0] for b in block]) for block in y])),
    (I, "Kron", PAIR, {}, lambda x, y: np.stack([np.kron(a, b) for a, b in zip(x, y, strict=True)])),
    (I, "Kron", PAIR, {"dim": [2, 1]}, lambda x, y: np.stack([np.kron(a, b) for a, b in zip(x, y, strict=True)])),
    *((side, "MaskSlice", (BLOCK,), {"start": 1, "end": 3, "dim": 1, "alpha": 0.5, "beta": 2},
       lambda x: np.where((np.arange(4)[:, None] >= 1) & (np.arange(4)[:, None] < 3), 0.5, 2.0) + 0 * x) for side in Side),
    (I, "MaskSlice", (BLOCK,), {"start": 2, "end": 2, "dim": 2}, lambda x: 0 * x),
]


@pytest.mark.parametrize(("side", "name", "types", "params", "formula"), CASES,
                         ids=[f"{case[0][8:]}-{case[1]}-{i}" for i, case in enumerate(CASES)])
def test_an_object_computes_its_formula(side: Side, name: str, types: tuple[Type, ...], params: dict[str, Any],
                                        formula: Formula) -> None:
    tape, value = written(side, name, types, params)
    arrays = data(types)
    with np.errstate(all="ignore"):
        expected = np.broadcast_to(formula(*arrays), (BLOCKS if value._node.type.lead is Lead.BLOCK else 1,
                                                      *value._node.type.shape))
    np.testing.assert_allclose(evaluated(tape, value, arrays), expected, rtol=1e-5, atol=1e-6)


def test_every_object_is_in_the_table() -> None:
    selections = {"topK", "approxTopK", "TopK", "Union"}
    assert {(case[0], case[1]) for case in CASES} == {(side, r.name) for side, r in RECORDS if r.name not in selections}
    assert len({(side, record.name) for side, record in RECORDS}) == len(RECORDS)


@pytest.mark.parametrize(("name", "params", "expected"), [
    ("Relu", {"alpha": 0.0, "beta": 5.0}, 5.0), ("Relu", {}, 0.0), ("WhereLess", {}, HIDDEN), ("WhereNotEqual", {}, 0.0),
    ("WhereGreaterEqual", {}, HIDDEN), ("Log", {}, NAN), ("Exp", {}, NAN), ("Sigmoid", {}, NAN),
])
def test_what_is_not_a_number_gates_as_false(name: str, params: dict[str, float], expected: float) -> None:
    types = (ONE,) * found(I, name).tensors
    tape, value = written(I, name, types, params)
    arrays = [np.full((BLOCKS, 1, 1), NAN, dtype=np.float32), np.ones((BLOCKS, 1, 1), dtype=np.float32)]
    np.testing.assert_array_equal(evaluated(tape, value, arrays), np.full((BLOCKS, 1, 1), np.float32(expected)))


SIMPLEST: list[tuple[Side, str, dict[str, Any], list[str]]] = [
    (I, "Add", {}, ["add"]), (I, "Add", {"beta": -1.0}, ["subtract"]), (I, "Add", {"alpha": 0.5}, ["const", "multiply", "add"]),
    (I, "Sigmoid", {"beta": -1.0}, ["sigmoid"]), (I, "Silu", {"beta": -1}, ["silu"]), (I, "Relu", {}, ["relu"]),
    (I, "Add_Mul", {}, []), (I, "Add_Mul", {"beta": -1.0}, ["negate"]), (I, "Log", {}, ["log"]), (I, "Exp", {}, ["exp"]),
    (I, "Add_Mul", {"alpha": 0.5, "beta": 2}, ["const", "multiply", "const", "add"]), (I, "Abs", {}, ["abs"]),
    (C, "MeanInterleave", {"k": 4}, ["mean"]), (C, "MaxInterleave", {"k": 1}, []), (C, "L2NormInterleave", {"k": 1}, ["abs"]),
    (I, "Reshape", {"batch_dim": -1, "x2": 4, "y2": 6}, []), (I, "GeMM", {}, ["transpose", "matmul"]),
]


@pytest.mark.parametrize(("side", "name", "params", "ops"), SIMPLEST)
def test_an_object_is_written_as_one_would_write_it(side: Side, name: str, params: dict[str, Any], ops: list[str]) -> None:
    tape, _ = written(side, name, (BLOCK,) * found(side, name).tensors, params)
    assert [node.op for node in tape.nodes if node.op != "field"] == ops


@pytest.mark.parametrize(("name", "params", "attrs"), [
    ("topK", {}, {}), ("approxTopK", {}, {}), ("approxTopK", {"tolerate_ratio": 0.2}, {"tolerance": 0.2}),
    ("approxTopK", {"tolerate_ratio": 1}, {"tolerance": 1.0}), ("TopK", {"k": 29}, {"k": 29}),
])
def test_objects_that_select(name: str, params: dict[str, Any], attrs: dict[str, Any]) -> None:
    _, value = written(I, name, (ONE,), params)
    assert value._node.type == SELECTION
    assert (value._node.op, dict(value._node.attrs)) == ("topk", attrs)


def test_two_selections_are_united() -> None:
    with taped(I) as tape:
        one, other = leaves(tape, (ONE, ONE))
        both = found(I, "Union").write(one._apply("topk", k=2), other._apply("topk"))
    assert (both._node.op, both._node.type) == ("union", SELECTION)


NO_WEIGHTS: list[Any] = [[], 3, None, [0.5, 0.5], [[0.5]], [[[0.5]], [[0.5, 1.0]]], [[["a"]]], [[[NAN]]], [[[]]], [[[[1.0]]]],
                         [[[0.1]]] * 65]
NO_AXES: list[Any] = [0, 3, (), [], (1, 1), (1, 2, 2), (0, 1), "1", (1, "2"), None, True, (1, 2.0)]
REFUSED: list[tuple[Side, str, dict[str, Any]]] = [
    *((C, name, {"dim": dim}) for name in REDUCTIONS for dim in (0, 3, True, "1", None)),
    *((I, name, {"dim": dim}) for name in (*REDUCTIONS, "Sum") for dim in (-1, 3, 1.0)),
    *((C, f"{name}Interleave", params) for name in REDUCTIONS
      for params in ({"k": 0}, {"k": 2.0}, {"k": True}, {"dim": 0}, {"k": "2"})),
    *((I, name, {key: bad}) for name in (*UNARY, "Add") for key in ("alpha", "beta")
      for bad in ("1", NAN, None, True, 10 ** 400)),
    *((I, name, {"dim": 1}) for name in ("Softmax", "Normalize")),
    (I, "Softmax", {"scale": float("inf")}), (I, "Softmax", {"scale": "1"}),
    *((I, "Conv1d", {"weight": weight}) for weight in NO_WEIGHTS),
    (I, "Conv1d", {"weight": [[[0.5]]], "dim": 1}),
    *((I, "Reshape", {"batch_dim": lead, "x2": a, "y2": b}) for lead, a, b in
      [(1, 3, 8), (0, 3, 8), (None, 3, 8), (-1, 0, 8), (-1, 3, -8), (-1, 3.0, 8), (-1, True, 24)]),
    *((I, "Kron", {"dim": dim}) for dim in NO_AXES),
    *((I, "MaskSlice", {"start": a, "end": b, "dim": dim}) for a, b, dim in
      [(2, 1, 1), (-1, 2, 1), (0, 1, 0), (0, 1, 3), (0.0, 1, 1), (None, 1, 1), (True, 1, 1)]),
    (I, "MaskSlice", {"start": 0, "end": 1, "dim": 1, "alpha": NAN}), (C, "MaskSlice", {"start": 2, "end": 1, "dim": 1}),
    *((I, "approxTopK", {"tolerate_ratio": ratio}) for ratio in (-0.1, 1.1, NAN, "0.1", None, True)),
    *((I, "TopK", {"k": k}) for k in (0, -1, 2.0, "3", None, True)),
]


@pytest.mark.parametrize(("side", "name", "params"), REFUSED)
def test_a_constructor_refuses_what_the_upstream_refuses(side: Side, name: str, params: dict[str, Any]) -> None:
    record = found(side, name)
    with pytest.raises(BadArgument):
        record.check(**{key: params.get(key, default) for key, default in record.params})


MISFITS: list[tuple[Side, str, tuple[Type, ...], dict[str, Any]]] = [
    (I, "GeMV", (ROW, Type(Lead.BLOCK, 1, 6)), {}), (I, "GeMV", (Type(Lead.ROW, 1, 6), BLOCK), {}),
    (I, "GeMM", (ROW, Type(Lead.BLOCK, 1, 5)), {}), (I, "Add", (BLOCK, Type(Lead.BLOCK, 3, 6)), {}),
    (I, "Mean", (ROW,), {"dim": 0}), (I, "Softmax", (ROW,), {}), (I, "Normalize", (ROW,), {}),
    (I, "Conv1d", (BLOCK,), {"weight": [[[0.5]]]}), (I, "Conv1d", (ROW,), {"weight": WEIGHT}),
    (I, "Reshape", (BLOCK,), {"batch_dim": -1, "x2": 5, "y2": 5}), (I, "Kron", (BLOCK, Type(Lead.BLOCK, 4, 5)), {"dim": 1}),
    (I, "MaskSlice", (BLOCK,), {"start": 0, "end": 7, "dim": 2}), (C, "MeanInterleave", (BLOCK,), {"dim": 1, "k": 3}),
    (I, "topK", (BLOCK,), {}), (I, "topK", (Type(Lead.ROW, 1, 1),), {}), (I, "TopK", (BLOCK,), {"k": 2}),
]


@pytest.mark.parametrize(("side", "name", "types", "params"), MISFITS)
def test_a_call_refuses_shapes_that_do_not_fit(side: Side, name: str, types: tuple[Type, ...],
                                               params: dict[str, Any]) -> None:
    with pytest.raises(FlowError) as refusal:
        written(side, name, types, params)
    assert isinstance(refusal.value, ShapeMismatch | BadArgument)
