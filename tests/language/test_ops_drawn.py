"""Ops over drawn shapes and numbers, ties, NaN and infinities among them, against their plain definitions."""
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.language.test_objects import evaluated, leaves, taped
from tests.language.test_ops import BLOCKS, EXPECTED, Row, data
from vortex.errors import FlowError
from vortex.ir import Geometry, Lead, Type
from vortex.language import ops
from vortex.language.ops.group import WAYS
from vortex.language.ops.record import OPS, Op, Sample, Side
from vortex.language.symbols import Value

FINITE = st.one_of(st.sampled_from([0.0, -0.0, 1.0, 1.0, -2.0, 448.0, 1e-3]), st.floats(-1e5, 1e5, width=32))
ANY = st.one_of(FINITE, st.sampled_from([float("nan"), float("inf"), -float("inf")]))
COUNTS = st.sampled_from([1, BLOCKS])
SIZES = st.integers(1, 6)
Draw = Callable[[st.SearchStrategy[Any]], Any]


def values(draw: Draw, rows: int, cols: int, elements: st.SearchStrategy[float] = ANY) -> Any:
    return draw(arrays(np.float32, (draw(COUNTS), rows, cols), elements=elements))


def compared(name: str, *operands: Any, **attrs: Any) -> None:
    types = [Type(Lead.BLOCK if len(x) > 1 else Lead.ROW, *x.shape[1:]) for x in operands]
    out = OPS[name].infer(types, attrs, Geometry(group=operands[0].shape[1]))
    with np.errstate(all="ignore"):
        expected = EXPECTED[name](*operands, **attrs)
    made = OPS[name].evaluate(Row(), *map(torch.from_numpy, operands), **attrs).numpy()
    assert made.dtype == np.float32
    assert made.shape == (max(map(len, operands)), *out.shape)
    np.testing.assert_allclose(made, expected, rtol=2e-6, atol=1e-30, equal_nan=True)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_largest_stand_first_and_missing_ones_last(drawn: st.DataObject) -> None:
    x = values(drawn.draw, 1, drawn.draw(SIZES))
    compared("largest", x, r=drawn.draw(st.integers(1, x.shape[2])))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_an_index_is_rounded_and_brought_into_range(drawn: st.DataObject) -> None:
    x = values(drawn.draw, drawn.draw(SIZES), drawn.draw(SIZES))
    places = st.one_of(st.sampled_from([-1.0, 0.5, 1.5, 2.5, 1e30, float("nan"), float("inf")]), st.floats(-1, 7, width=16))
    compared("take", x, values(drawn.draw, 1, drawn.draw(SIZES), places), dim=drawn.draw(st.sampled_from([1, 2])))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_format_keeps_the_nearest_of_its_numbers(drawn: st.DataObject) -> None:
    x = values(drawn.draw, drawn.draw(SIZES), drawn.draw(SIZES), FINITE)
    name = drawn.draw(st.sampled_from(["fp8", "fp8_e5m2", "int8", "int4"]))
    compared("quantize", x, format=name, dim=2 if name.startswith("fp8") else drawn.draw(st.sampled_from([1, 2])))


@pytest.mark.parametrize("name", ["int8", "int4"])
def test_whole_numbers_are_kept_and_a_missing_one_spreads_over_its_scale(name: str) -> None:
    x = torch.tensor([[[7.0, -3.0, 0.0], [0.0, 0.0, 0.0], [1.0, float("nan"), 2.0]]])
    made = OPS["quantize"].evaluate(Row(), x * (127 / 7 if name == "int8" else 1), format=name, dim=2)
    torch.testing.assert_close(made[0, 0] / made[0, 0, 0] * 7, x[0, 0], atol=0.03, rtol=0)
    assert not made[0, 1].any()
    assert made[0, 2].isnan().all()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_mask_knows_nothing_of_the_numbers_it_is_given(drawn: st.DataObject) -> None:
    x = values(drawn.draw, drawn.draw(SIZES), drawn.draw(SIZES))
    dim = drawn.draw(st.sampled_from([1, 2]))
    start = drawn.draw(st.integers(0, x.shape[dim]))
    compared("mask", x, start=start, stop=drawn.draw(st.integers(start, x.shape[dim])), dim=dim,
             inside=drawn.draw(FINITE), outside=drawn.draw(FINITE))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_signs_and_what_is_positive(drawn: st.DataObject) -> None:
    x = values(drawn.draw, drawn.draw(SIZES), drawn.draw(SIZES))
    compared("sign", x)
    made = OPS["relu"].evaluate(Row(), torch.from_numpy(x)).numpy()
    assert all(y == (one if one > 0 else 0) for one, y in zip(x.flat, made.flat, strict=True))


WRITTEN = [pytest.param(op, sample, id=f"{op.name}-{i}") for op in OPS.values() if op.written_as is not None
           for i, sample in enumerate(op.samples)]


@pytest.mark.parametrize(("op", "sample"), WRITTEN)
def test_a_word_for_other_ops_means_what_they_mean(op: Op, sample: Sample) -> None:
    assert op.written_as is not None
    with taped(sample.side) as tape:
        value = op.written_as(*leaves(tape, sample.args), **sample.attrs)
    assert op.name not in {node.op for node in tape.nodes}
    assert value._node.type == op.infer(sample.args, sample.attrs, Geometry())
    operands = data(sample.args)
    expected = op.evaluate(Row(), *map(torch.from_numpy, operands), **sample.attrs).numpy()
    np.testing.assert_allclose(evaluated(tape, value, operands), expected, rtol=2e-6, atol=1e-6)


def test_there_is_a_word_for_other_ops() -> None:
    assert {case.values[0].name for case in WRITTEN if isinstance(case.values[0], Op)} >= {"over_group"}


@pytest.mark.parametrize("by", WAYS)
def test_the_group_is_called_by_its_word_and_its_default_is_the_mean(by: str) -> None:
    with taped(Side.INDEXER) as tape:
        x, = leaves(tape, (Type(Lead.BLOCK, 4, 3),))
        made: Value = ops.over_group(x, by=by)
        usual: Value = ops.over_group(x)
    assert made.shape[1:] == (1, 3)
    assert usual._node.op == "mean"


B, R = Lead.BLOCK, Lead.ROW


@pytest.mark.parametrize(("name", "types", "attrs", "message"), [
    ("largest", [Type(R, 2, 8)], {"r": 3}, "has 2 rows"), ("largest", [Type(R, 1, 8)], {"r": 9}, "1 .. 8"),
    ("largest", [Type(R, 1, 8)], {"r": True}, "r=True"), ("largest", [Type(R, 1, 8)], {"r": 0}, "r=0"),
    ("take", [Type(B, 4, 6), Type(R, 2, 3)], {"dim": 1}, "has 2 rows"),
    ("take", [Type(B, 4, 6), Type(R, 1, 3)], {"dim": 0}, "dim=0"),
    ("quantize", [Type(B, 4, 6)], {"format": "int3", "dim": 2}, "int3"),
    ("quantize", [Type(B, 4, 6)], {"format": "fp8", "dim": 1}, "no scale"),
    ("quantize", [Type(B, 4, 6)], {"format": 8, "dim": 2}, "format=8"),
    ("mask", [Type(B, 4, 6)], {"start": 0, "stop": 7, "dim": 2, "inside": 1.0, "outside": 0.0}, "0:7"),
    ("mask", [Type(B, 4, 6)], {"start": 3, "stop": 2, "dim": 2, "inside": 1.0, "outside": 0.0}, "3:2"),
    ("mask", [Type(B, 4, 6)], {"start": 0, "stop": 2, "dim": 2, "inside": float("inf"), "outside": 0.0}, "finite"),
    ("over_group", [Type(B, 4, 3)], {"by": "median", "scale": 1.0}, "median"),
    ("over_group", [Type(B, 3, 3)], {"by": "mean", "scale": 1.0}, "4 heads"),
    ("over_group", [Type(B, 4, 3)], {"by": "max", "scale": 0.5}, "scale=0.5"),
    ("over_group", [Type(R, 4, 3)], {"by": "softmax", "scale": 0.5}, "does not vary"),
    ("over_group", [Type(B, 4, 3)], {"by": "softmax", "scale": float("nan")}, "scale=nan"),
    ("topk", [Type(B, 1, 1)], {"k": 0}, "k=0"), ("topk", [Type(B, 1, 1)], {"k": 2.0}, "k=2.0"),
    ("topk", [Type(B, 1, 1)], {"k": True}, "k=True"), ("topk", [Type(B, 1, 1)], {"tolerance": 0.0}, "tolerance=0.0"),
    ("topk", [Type(B, 1, 1)], {"tolerance": 1.5}, "tolerance=1.5"), ("top_p", [Type(B, 1, 1)], {"p": 0.0}, "p=0.0"),
    ("top_p", [Type(B, 1, 1)], {"p": 1.1}, "p=1.1"), ("top_p", [Type(B, 1, 1)], {}, "p=None"),
    ("top_p", [Type(B, 2, 1)], {"p": 0.9}, "Reduce axis 1"), ("threshold", [Type(B, 1, 1)], {"t": float("inf")}, "t=inf"),
    ("threshold", [Type(B, 1, 1)], {"t": 10 ** 400}, "a huge number"), ("top_p", [Type(B, 1, 1)], {"p": True}, "p=True"),
    ("softmax", [Type(B, 1, 1)], {"scale": 10 ** 400}, "scale"), ("conv", [Type(B, 1, 1)], {"taps": (1e39,)}, "taps"),
    ("threshold", [Type(R, 1, 1)], {"t": 0.5}, "does not vary"), ("union", [Type(B, 1, 1), Type(B, 1, 1)], {}, "two selections"),
])
def test_an_op_refuses_what_it_does_not_take(name: str, types: list[Type], attrs: dict[str, Any], message: str) -> None:
    with pytest.raises(FlowError) as refusal:
        OPS[name].infer(types, attrs, Geometry())
    assert message in refusal.value.report()


def test_the_value_of_a_union_is_the_scores_of_its_leaves() -> None:
    one, other = torch.randn(3, 1, 1), torch.randn(2, 3, 1, 1)
    made = OPS["union"].evaluate(Row(), one, other)
    assert made.shape == (2, 3, 1, 2)
    assert torch.equal(made[..., 1:], other)
