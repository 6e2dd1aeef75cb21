"""The k best: ties to the lower block, NaN last, exact."""
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vortex.compiler.reference import take_best
from vortex.compiler.topk import best

NAN, INF = float("nan"), float("inf")
SCORES = st.one_of(st.floats(width=32), st.sampled_from([0.0, -0.0, 1.0, NAN, INF, -INF]))


@pytest.mark.parametrize(("score", "k", "picks"), [
    ([1, 3, 2], 2, [1, 2]),
    ([1, 1, 1], 2, [0, 1]),
    ([0, 5, 1, 5, 1], 3, [1, 2, 3]),
    ([NAN, -INF, 0], 2, [1, 2]),
    ([NAN, NAN, -INF, NAN], 3, [0, 1, 2]),
    ([NAN, 7, 8], 1, [2]),
    ([-0.0, 0.0], 1, [0]),
    ([4, 2], 0, []),
    ([4, NAN], 2, [0, 1]),
])
def test_best_by_table(score: list[float], k: int, picks: list[int]) -> None:
    assert best(torch.tensor([score], dtype=torch.float32), k).tolist() == [picks]


@given(st.lists(SCORES, min_size=1, max_size=24).flatmap(lambda s: st.tuples(st.just(s), st.integers(0, len(s)))))
def test_best_is_the_references_choice(case: tuple[list[float], int]) -> None:
    score, k = case
    assert best(torch.tensor(score), k).tolist() == sorted(take_best(score, 0, k))


def test_rows_are_chosen_apart() -> None:
    score = torch.tensor([[[1.0, 2.0, 3.0], [3.0, NAN, 3.0]]])
    assert best(score, 2).tolist() == [[[1, 2], [0, 2]]]
