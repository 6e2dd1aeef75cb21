"""Each op's record against NumPy, on the record's own samples: the type it says, the numbers it makes."""
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vortex.compiler.reference import take_best
from vortex.errors import FlowError
from vortex.ir import SELECTION, Geometry, Lead, Type
from vortex.language.ops.noise import noise_key, uniform
from vortex.language.ops.record import OPS, Op, Sample, Side

BLOCKS, BOS, END = 7, 2, 6
INSIDE = slice(BOS, END)


@dataclass(frozen=True)
class Row:
    """A scope of 7 blocks of which 2 .. 5 are the middle."""

    blocks: int = BLOCKS
    bos: int = BOS
    end: int = END

    @property
    def position(self) -> torch.Tensor:
        return torch.arange(self.blocks, dtype=torch.float32)[:, None, None]

    @property
    def middle(self) -> torch.Tensor:
        return (self.position >= self.bos) & (self.position < self.end)

    @property
    def noise_key(self) -> torch.Tensor:
        return torch.arange(self.blocks)[:, None, None]

    @property
    def mass(self) -> torch.Tensor:
        return torch.arange(self.blocks, dtype=torch.float32)[:, None, None] / 10


def along(function: Callable[..., Any]) -> Callable[..., Any]:
    """A reduction of axis dim, of all of it or of groups of neighbours."""
    def reduced(x: Any, dim: int, every: int | None = None) -> Any:
        groups = [x] if every is None else np.split(x, x.shape[dim] // every, axis=dim)
        return np.concatenate([function(g, dim) for g in groups], axis=dim)
    return reduced


def kron(x: Any, y: Any, dim: int | tuple[int, ...]) -> Any:
    axes = (dim,) if isinstance(dim, int) else dim
    out = []
    for n in range(max(len(x), len(y))):
        a, b = x[n % len(x)], y[n % len(y)]
        if axes == (1,):
            out.append(np.stack([r * s for r in a for s in b]))
        elif axes == (2,):
            out.append(np.stack([r * s for r in a.T for s in b.T]).T)
        else:
            out.append(np.kron(a, b))
    return np.stack(out)


def only_inside(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`function` of the middle blocks; 0 outside."""
    def made(x: Any) -> Any:
        out = np.zeros_like(x)
        out[INSIDE] = function(x[INSIDE])
        return out
    return made


def softmax(x: Any, scale: float) -> Any:
    return only_inside(lambda m: np.exp(scale * m) / np.exp(scale * m).sum(0))(x)


def conv(x: Any, taps: Any) -> Any:
    out = np.zeros_like(x)
    for p in range(BOS, END):
        for k, tap in enumerate(taps):
            if p - k >= BOS:
                out[p] += np.asarray(tap) * x[p - k]
    return out


def overall(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: function(x[INSIDE])[None]


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def mask(x: Any, start: int, stop: int, dim: int, inside: float, outside: float) -> Any:
    out = np.empty_like(x)
    for index in np.ndindex(x.shape):
        out[index] = inside if start <= index[dim] < stop else outside
    return out


def largest(x: Any, r: int) -> Any:
    def order(row: Any) -> list[int]:
        return sorted(range(len(row)), key=lambda i: (np.isnan(row[i]), -row[i] if row[i] == row[i] else 0, i))[:r]
    return np.array([[order(row) for row in block] for block in x], dtype=np.float32)


def take(x: Any, index: Any, dim: int) -> Any:
    blocks = []
    for n in range(max(len(x), len(index))):
        a, wanted = x[n % len(x)], index[n % len(index)][0]
        at = [0 if np.isnan(w) else int(min(max(np.round(w), 0), a.shape[dim - 1] - 1)) for w in wanted]
        blocks.append(np.take(a, at, axis=dim - 1))
    return np.stack(blocks)


def small_float(x: float, mantissa: int, least_exponent: int, most: float) -> float:
    """The nearest number of a small float format, ties to even; its largest where x is beyond."""
    if x != x or x == 0:
        return x
    exponent = max(int(np.floor(np.log2(abs(x)))), least_exponent)
    step = 2.0 ** (exponent - mantissa)
    return float(np.clip(np.round(x / step) * step, -most, most))


def quantize(x: Any, format: str, dim: int) -> Any:
    if format.startswith("fp8"):
        shape = {"fp8": (3, -6, 448.0), "fp8_e5m2": (2, -14, 57344.0)}[format]
        return np.vectorize(lambda one: small_float(float(one), *shape))(x)
    out, most = np.zeros_like(x), {"int8": 127, "int4": 7}[format]
    for block, made in zip(x, out, strict=True):
        for line, to in zip(block if dim == 2 else block.T, made if dim == 2 else made.T, strict=True):
            scale = np.float32(max(abs(line)) / np.float32(most))
            to[:] = np.round(line / scale) * scale if scale else 0
    return out


def over_group(x: Any, by: str, scale: float) -> Any:
    if by == "softmax":
        return softmax(x, scale).sum(1, keepdims=True)
    return EXPECTED[by](x, 1)


EXPECTED: dict[str, Callable[..., Any]] = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide,
    "maximum": np.maximum, "minimum": np.minimum, "negate": np.negative,
    "abs": np.abs, "sign": np.sign, "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "relu": lambda x: np.where(x < 0, 0, x),
    "sigmoid": sigmoid, "silu": lambda x: x * sigmoid(x),
    "greater": np.greater, "greater_equal": np.greater_equal, "less": np.less, "less_equal": np.less_equal,
    "equal": np.equal, "not_equal": np.not_equal, "where": lambda c, x, y: np.where(c != 0, x, y),
    "mean": along(lambda x, d: x.mean(d, keepdims=True)), "sum": along(lambda x, d: x.sum(d, keepdims=True)),
    "max": along(lambda x, d: x.max(d, keepdims=True)), "min": along(lambda x, d: x.min(d, keepdims=True)),
    "norm": along(lambda x, d: np.sqrt((x * x).sum(d, keepdims=True))),
    "logsumexp": along(lambda x, d: np.log(np.exp(x).sum(d, keepdims=True))),
    "matmul": np.matmul, "transpose": lambda x: x.swapaxes(1, 2), "kron": kron,
    "slice": lambda x, dim, start, stop: x.take(range(start, stop), axis=dim),
    "gather": lambda x, dim, indices: x.take(indices, axis=dim),
    "cat": lambda *xs, dim: np.concatenate([np.broadcast_to(x, (max(map(len, xs)), *x.shape[1:])) for x in xs], dim),
    "reshape": lambda x, rows, cols: x.reshape(-1, rows, cols),
    "softmax": softmax, "normalize": only_inside(lambda m: m / np.sqrt((m * m).sum(0))), "conv": conv,
    "mean_over_blocks": overall(lambda m: m.mean(0)), "sum_over_blocks": overall(lambda m: m.sum(0)),
    "max_over_blocks": overall(lambda m: m.max(0)), "min_over_blocks": overall(lambda m: m.min(0)),
    "norm_over_blocks": overall(lambda m: np.sqrt((m * m).sum(0))),
    "logsumexp_over_blocks": overall(lambda m: np.log(np.exp(m).sum(0))),
    "position": lambda: np.arange(BLOCKS).reshape(-1, 1, 1), "mass": lambda: np.arange(BLOCKS).reshape(-1, 1, 1) / 10,
    "const": lambda value: np.full((1, 1, 1), value), "stored": lambda x: x,
    "mask": mask, "largest": largest, "take": take, "quantize": quantize, "over_group": over_group,
    "topk": lambda x, **rule: x, "top_p": lambda x, p: x, "threshold": lambda x, t: x,
}
SUPPLIED = {"input", "field", "state", "everything", "random", "union", "param", "declared"}
CASES = [pytest.param(op, sample, id=f"{op.name}-{i}") for op in OPS.values() if op.name not in SUPPLIED
         for i, sample in enumerate(op.samples)]


def data(types: tuple[Type, ...], seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [np.round(rng.normal(size=(BLOCKS if t.lead is Lead.BLOCK else 1, *t.shape)), 1).astype(np.float32)
            for t in types]


def test_every_op_has_samples_and_an_expectation() -> None:
    assert set(EXPECTED) | SUPPLIED == set(OPS)
    assert all(op.samples or op.name in ("everything", "declared") for op in OPS.values())


@pytest.mark.parametrize(("op", "sample"), CASES)
def test_an_op_makes_the_numbers_that_numpy_makes(op: Op, sample: Sample) -> None:
    arrays = data(sample.args)
    with np.errstate(all="ignore"):
        expected = EXPECTED[op.name](*arrays, **sample.attrs)
    tensors = [torch.from_numpy(a) for a in arrays]
    made = op.evaluate(Row(), *tensors, **sample.attrs)
    np.testing.assert_allclose(made.numpy(), expected.astype(np.float32), rtol=2e-6, atol=1e-6)
    for tensor, array in zip(tensors, data(sample.args), strict=True):
        np.testing.assert_array_equal(tensor.numpy(), array, err_msg="an operand was changed in place")


@pytest.mark.parametrize(("op", "sample"), CASES)
def test_an_op_makes_the_type_that_it_says(op: Op, sample: Sample) -> None:
    type_ = op.infer(sample.args, sample.attrs, Geometry())
    if type_ == SELECTION:
        return
    made = op.evaluate(Row(), *(torch.from_numpy(a) for a in data(sample.args)), **sample.attrs)
    assert made.dtype == torch.float32
    assert tuple(made.shape) == (BLOCKS if type_.lead is Lead.BLOCK else 1, *type_.shape)


@pytest.mark.parametrize(("op", "sample"), CASES)
def test_an_op_on_a_batch_is_the_op_on_each_row(op: Op, sample: Sample) -> None:
    if not sample.args:
        return
    rows = [[torch.from_numpy(a) for a in data(sample.args, seed)] for seed in (0, 1, 2)]
    batched = op.evaluate(Row(), *(torch.stack(operand) for operand in zip(*rows, strict=True)), **sample.attrs)
    for one, many in zip(rows, batched, strict=True):
        torch.testing.assert_close(op.evaluate(Row(), *one, **sample.attrs), many, equal_nan=True)


@pytest.mark.parametrize("name", [n for n, op in OPS.items() if op.across_blocks])
def test_blocks_outside_of_the_middle_are_never_seen(name: str) -> None:
    sample = OPS[name].samples[0]
    clean = torch.from_numpy(data(sample.args)[0])
    dirty = clean.clone()
    dirty[:BOS], dirty[END:] = float("nan"), float("inf")
    made = [OPS[name].evaluate(Row(), x, **sample.attrs) for x in (clean, dirty)]
    assert torch.equal(*made)
    assert made[0].isfinite().all()


@pytest.mark.parametrize("name", [n for n, op in OPS.items() if op.across_blocks])
def test_an_empty_middle_gives_zeros(name: str) -> None:
    sample = OPS[name].samples[0]
    made = OPS[name].evaluate(Row(bos=3, end=3), torch.from_numpy(data(sample.args)[0]), **sample.attrs)
    assert not made.any()


NAN = float("nan")


@pytest.mark.parametrize(("name", "operands", "expected"), [
    ("maximum", [NAN, 1.0], NAN), ("minimum", [1.0, NAN], NAN), ("greater", [NAN, 1.0], 0.0), ("equal", [NAN, NAN], 0.0),
    ("not_equal", [NAN, 1.0], 1.0), ("less_equal", [NAN, 1.0], 0.0), ("where", [0.0, NAN, 2.0], 2.0),
    ("where", [1.0, 3.0, NAN], 3.0), ("log", [-1.0], NAN), ("log", [0.0], -float("inf")), ("sqrt", [-1.0], NAN),
    ("exp", [1000.0], float("inf")), ("divide", [1.0, 0.0], float("inf")), ("relu", [NAN], 0.0), ("sign", [NAN], NAN),
])
def test_what_is_not_a_number_stays_so_and_compares_as_false(name: str, operands: list[float], expected: float) -> None:
    made = OPS[name].evaluate(Row(), *(torch.full((1, 1, 1), x) for x in operands))
    np.testing.assert_array_equal(made.numpy().item(), expected)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0.0, -0.0, 1.0, 1.0, -2.0, NAN, float("inf"), -float("inf")]), min_size=1, max_size=12),
       st.integers(0, 3), st.integers(0, 12))
def test_the_best_are_the_highest_then_the_lowest_positions_then_nan(score: list[float], first: int, count: int) -> None:
    taken = take_best(score, first, count)
    rest = set(range(first, len(score))) - set(taken)
    assert len(taken) == min(count, max(0, len(score) - first))
    for inside in taken:
        for outside in rest:
            x, y = score[inside], score[outside]
            assert x > y or (x == y and inside < outside) or (np.isnan(y) and (not np.isnan(x) or inside < outside))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-2**63, 2**63 - 1), min_size=1, max_size=5))
def test_noise_keys_of_numbers_and_of_tensors_are_the_same(parts: list[int]) -> None:
    tensors = [torch.tensor([part, 5]) for part in parts]
    key = noise_key(*tensors)
    assert isinstance(key, torch.Tensor)
    assert key.tolist() == [noise_key(*parts), noise_key(*[5] * len(parts))]


def test_draws_are_spread_over_zero_to_one_and_differ_by_every_part() -> None:
    key = noise_key(torch.arange(100)[:, None], 3, torch.arange(200)[None])
    assert isinstance(key, torch.Tensor)
    draws = uniform(key).flatten()
    assert draws.dtype == torch.float32
    assert draws.min() >= 0 and draws.max() < 1
    counts = torch.histc(draws, 10, 0, 1)
    assert (counts - 2000).abs().max() < 200
    assert len(set(draws.tolist())) > 19_900


def test_ops_refuse_the_wrong_side_in_their_records() -> None:
    only_indexer = {n for n, op in OPS.items() if op.sides == frozenset({Side.INDEXER})}
    assert {"softmax", "normalize", "conv", "topk", "position", "random", "mass", "mean_over_blocks"} <= only_indexer


@pytest.mark.parametrize(("name", "types", "attrs"), [
    ("slice", [Type(Lead.BLOCK, 4, 6)], {"dim": 2, "start": 0, "stop": 6}),
    ("slice", [Type(Lead.BLOCK, 4, 6)], {"dim": 2, "start": 3, "stop": 3}),
    ("slice", [Type(Lead.BLOCK, 4, 6)], {"dim": 2, "start": None, "stop": 3}),
    ("gather", [Type(Lead.BLOCK, 4, 6)], {"dim": 1, "indices": (4,)}),
    ("gather", [Type(Lead.BLOCK, 4, 6)], {"dim": 1, "indices": ()}),
    ("mean", [Type(Lead.BLOCK, 4, 6)], {"dim": 3}), ("mean", [Type(Lead.BLOCK, 4, 6)], {"dim": True}),
    ("mean", [Type(Lead.BLOCK, 4, 6)], {"dim": 1, "every": 3}), ("mean", [Type(Lead.BLOCK, 4, 6)], {}),
    ("kron", [Type(Lead.BLOCK, 4, 6), Type(Lead.BLOCK, 4, 6)], {"dim": (2, 1)}),
    ("kron", [Type(Lead.BLOCK, 4, 6), Type(Lead.BLOCK, 4, 5)], {"dim": 1}),
    ("kron", [Type(Lead.BLOCK, 64, 128), Type(Lead.BLOCK, 64, 128)], {"dim": (1, 2)}),
    ("cat", [Type(Lead.BLOCK, 4, 6), Type(Lead.BLOCK, 4, 5)], {"dim": 1}),
    ("reshape", [Type(Lead.BLOCK, 4, 6)], {"rows": 5, "cols": 5}),
    ("reshape", [Type(Lead.BLOCK, 4, 6)], {"rows": -1, "cols": -24}),
    ("matmul", [Type(Lead.BLOCK, 4, 6), Type(Lead.BLOCK, 4, 6)], {}),
    ("add", [Type(Lead.BLOCK, 4, 6), Type(Lead.BLOCK, 3, 6)], {}),
    ("greater", [Type(Lead.CONST, 1, 1), Type(Lead.BLOCK, 3, 6)], {}),
    ("softmax", [Type(Lead.ROW, 1, 1)], {"scale": 1.0}), ("softmax", [Type(Lead.BLOCK, 1, 1)], {"scale": float("nan")}),
    ("conv", [Type(Lead.BLOCK, 1, 2)], {"taps": ()}), ("conv", [Type(Lead.BLOCK, 1, 2)], {"taps": (((1.0,),),)}),
    ("conv", [Type(Lead.BLOCK, 1, 2)], {"taps": ("a",)}), ("conv", [Type(Lead.BLOCK, 1, 2)], {"taps": 3}),
    ("mean_over_blocks", [Type(Lead.ROW, 1, 1)], {}), ("topk", [Type(Lead.BLOCK, 1, 2)], {}),
    ("topk", [Type(Lead.ROW, 1, 1)], {}), ("const", [], {"value": float("inf")}), ("const", [], {"value": 1}),
    ("const", [], {"value": -0.0}), ("input", [], {"name": "k"}), ("field", [], {"name": "c"}), ("state", [], {"name": "c"}),
])
def test_an_op_refuses_what_it_does_not_take(name: str, types: list[Type], attrs: dict[str, Any]) -> None:
    with pytest.raises(FlowError):
        OPS[name].infer(types, attrs, Geometry())
