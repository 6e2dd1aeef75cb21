"""The oracle's own maths on numbers that were worked out by hand."""
import numpy as np
import pytest

from tests.oracle import formulas
from tests.oracle.cache import EXPORTS as CACHE
from tests.oracle.engine import Engine, Setting
from tests.oracle.indexer import EXPORTS as INDEXER
from tests.oracle.package import vFlow
from tests.oracle.row import Row
from tests.oracle.values import Format, Tensor

TABLE = np.array([[1.0, -2.0, 3.0, 4.0], [0.0, 5.0, -6.0, 7.0]])
ROW = Row(blocks=6, bos=1, eos=2, allowed=4)


def ragged(*numbers: float) -> Tensor:
    return Tensor(np.array(numbers).reshape(-1, 1, 1), Format.RAGGED)


def middle_of(op: object, *numbers: float) -> list[float]:
    assert callable(op)
    return op(ragged(*numbers), ctx=ROW).data[1:, 0, 0].round(6).tolist()


@pytest.mark.parametrize("found, wanted", [
    (formulas.product(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]])), [[11.0], [17.0]]),
    (formulas.reduced("Mean", TABLE, 2), [[1.5], [1.5]]),
    (formulas.reduced("L2Norm", np.array([[3.0], [4.0]]), 1), [[5.0]]),
    (formulas.reduced_groups("Max", TABLE, 2, 2), [[1.0, 4.0], [5.0, 7.0]]),
    (formulas.kron(np.array([[1.0], [2.0]]), np.array([[3.0], [4.0]]), (1,)), [[3.0], [4.0], [6.0], [8.0]]),
    (formulas.kron(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]), (2,)), [[3.0, 6.0], [4.0, 8.0]]),
    (formulas.band(TABLE[:1], 1, 3, 2, 9.0, 0.5), [[0.5, 9.0, 9.0, 0.5]]),
    (formulas.paired("Add", TABLE[:1], TABLE[1:], 2.0, -1.0), [[2.0, -9.0, 12.0, 1.0]]),
    (formulas.paired("WhereLess", TABLE[:1], TABLE[1:], 1.0, 1.0), [[-1e30, 0.0, -1e30, 0.0]]),
    (formulas.single("Sigmoid", TABLE[:1], 0.0, 0.0), [[0.5, 0.5, 0.5, 0.5]]),
    (formulas.single("Silu", TABLE[:1], 0.0, 0.0), [[0.5, -1.0, 1.5, 2.0]]),
    (formulas.single("Relu", TABLE[:1], 2.0, -7.0), [[-7.0, -7.0, 3.0, 4.0]]),
    (formulas.single("Add_Mul", TABLE[:1], 1.0, 2.0), [[3.0, -3.0, 7.0, 9.0]]),
])
def test_a_formula(found: np.ndarray, wanted: list[list[float]]) -> None:
    assert found.tolist() == wanted


def test_ops_over_blocks_range_over_the_middle_alone() -> None:
    assert middle_of(INDEXER["Softmax"](scale=0.0), 100.0, 1.0, 2.0, 3.0) == [0.333333] * 3
    assert middle_of(INDEXER["Normalize"](), 100.0, 3.0, 0.0, 4.0) == [0.6, 0.0, 0.8]
    assert middle_of(INDEXER["Conv1d"]([[[1.0]], [[0.5]]]), 100.0, 1.0, 2.0, 4.0) == [1.0, 2.5, 5.0]
    assert INDEXER["Mean"](dim=0)(ragged(100.0, 1.0, 2.0, 3.0), ctx=ROW).data.tolist() == [[[2.0]]]


def test_a_list_holds_the_reserved_blocks_and_the_best_of_the_others() -> None:
    row = Row(blocks=6, bos=1, eos=2, allowed=4)
    INDEXER["topK"]()(ragged(100.0, 1.0, float("nan"), 1.0), None, ctx=row)
    assert row.taken == [0, 1, 4, 5]
    row = Row(blocks=7, bos=1, eos=2, allowed=4)
    scores = (ragged(0.0, 1.0, 2.0, 3.0, 0.0), ragged(0.0, 9.0, 0.0, 0.0, 0.0))
    INDEXER["Union"]()(*(INDEXER["TopK"](1)(score, ctx=row) for score in scores), None, ctx=row)
    assert row.taken == [0, 1, 3, 5, 6]


class Summing(vFlow):
    def create_cache(self, block_size: int, head_dim: int) -> dict[str, tuple[int, int]]:
        return {"low": (1, head_dim)}

    def forward_cache(self, cache: object, loc: object, ctx: object) -> None:
        CACHE["Min"](dim=1)(cache["k"], cache["low"], loc=loc, ctx=ctx)  # type: ignore[index]

    def forward_indexer(self, q: object, o: object, cache: object, ctx: object) -> None:
        raise AssertionError("a row that fits is not scored")


def test_a_block_is_summarised_when_its_last_slot_is_written_and_not_before() -> None:
    engine = Engine(Summing(), Setting(block=4, channels=2, heads=2, blocks_per_page=2), pages=3)
    tokens = np.arange(24.0).reshape(6, 2, 2)
    engine.write([8, 9, 10], k=tokens[:3], v=tokens[:3])
    assert (engine.fields["low"] == 1e4).all()
    engine.write([11, 12], k=tokens[3:5], v=tokens[3:5])
    assert engine.block_id(8, 1) == 6 and engine.token_row(9, 1) == 25
    assert engine.fields["low"][[4, 6]].tolist() == [[[0.0, 1.0]], [[2.0, 3.0]]]
    assert (engine.fields["low"][[0, 1, 2, 3, 5, 7]] == 1e4).all()
    assert engine.index([8, 9, 10, 11, 12], 0, tokens[0]).blocks == [0, 1]
