"""What is told of an op is there for every op, says what its record says, and reaches `vortex ops` and the docs."""
import pytest

from vortex.ir import Geometry, Lead, Type
from vortex.language.compat import records
from vortex.language.ops.prose import called, listed, paragraph, tell
from vortex.language.ops.record import OPS, Op, read_and_written

LISTED = [pytest.param(op, id=op.name) for op in listed()]


@pytest.mark.parametrize("op", LISTED)
def test_a_paragraph_says_how_an_op_is_written_what_it_means_and_where_it_stands(op: Op) -> None:
    text = paragraph(op)
    assert text.startswith(f"{op.name}, written {op.usage}: ")
    assert op.meaning in text
    assert op.meaning.endswith(".")
    assert all(str(side) in text for side in op.sides)
    assert all(record.means and f"is {record.means}" in text and record.name in text for record in op.upstream)


def test_every_op_object_of_the_upstream_is_told_of() -> None:
    names = {record.name for record in records()} | {"Parameter"}
    assert [name for name in names if not called(name)] == []
    assert [op.name for op in called("Save")] == ["state"] == [op.name for op in called("state")]
    assert {op.name for op in called("Add")} == {"add"} and called("Sav") == []
    assert 'Upstream: Load()(F) is cache.state("F"); Save()(x, F) is cache["F"] = x; ' in paragraph(OPS["state"])


def test_all_ops_are_listed_but_those_that_nobody_writes() -> None:
    assert {op.name for op in listed()} == {name for name, op in OPS.items() if op.usage}
    assert {name for name, op in OPS.items() if not op.usage} == {"declared"}


def test_a_paragraph_word_by_word() -> None:
    assert paragraph(OPS["matmul"]) == (
        "matmul, written x @ y: The matrix product of the last two axes: [., a, K] @ [., K, b] is [., a, b]. "
        "In forward_cache and forward_indexer. For example [row, 4, 8], [block, 8, 3] make [block, 4, 3]; "
        "[block, 2, 8], [row, 8, 3] make [block, 2, 3]; [block, 2, 8], [block, 8, 1] make [block, 2, 1]. "
        "Upstream: GeMM()(x, y) is y @ x.T; GeMV()(x, y) is y @ x.T of one row each. "
        "Cost of the first, on its own: operations 192, bytes 144 a block.")


@pytest.mark.parametrize("op", LISTED)
def test_shapes_that_are_told_are_those_that_the_op_makes(op: Op) -> None:
    for sample, text in zip(op.samples, tell(op)["shapes"], strict=False):
        assert text.endswith(str(op.infer(sample.args, sample.attrs, Geometry()))) or text.endswith("a Selection")


BLOCK, ROW, CONST = Type(Lead.BLOCK, 2, 8), Type(Lead.ROW, 4, 8), Type(Lead.CONST, 1, 1)


@pytest.mark.parametrize(("args", "out", "expected"), [
    ([BLOCK], BLOCK, 128), ([ROW, BLOCK], Type(Lead.BLOCK, 4, 8), 4 * (16 + 32)), ([BLOCK, CONST], BLOCK, 128),
    ([ROW], ROW, 256), ([BLOCK], Type(Lead.ROW, 2, 8), 64), ([], Type(Lead.BLOCK, 1, 1), 4),
])
def test_bytes_are_what_one_block_or_one_row_moves(args: list[Type], out: Type, expected: int) -> None:
    assert read_and_written(args, out) == expected


@pytest.mark.parametrize("name", ["transpose", "slice", "reshape", "field", "state", "const", "input"])
def test_another_view_of_the_same_numbers_moves_nothing(name: str) -> None:
    assert tell(OPS[name])["bytes"] == 0
    assert OPS[name].bytes_moved([BLOCK], BLOCK) == 0
