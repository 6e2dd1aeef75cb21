"""Whose pages were not written here: what a request brings is summarised before its first step here."""
import torch
from hypothesis import given
from hypothesis import strategies as st

from vortex.serving.sglang.arrivals import Arrivals, complete_blocks


def test_a_request_is_a_stranger_in_its_first_step_and_when_it_comes_back() -> None:
    arrivals = Arrivals()
    assert arrivals.strangers(["a", "b"]) == [0, 1]
    assert arrivals.strangers(["b", "c", "a"]) == [1]
    assert arrivals.strangers(["b", "c"]) == []
    assert arrivals.strangers(["c", "a", "b"]) == [1]


@given(st.lists(st.tuples(st.integers(1, 40), st.booleans()), min_size=1, max_size=5), st.sampled_from([1, 4, 16]))
def test_blocks_are_those_complete_before_the_token_that_is_decoded(requests: list[tuple[int, bool]], size: int) -> None:
    lens = [length for length, _ in requests]
    rows = [row for row, (_, strange) in enumerate(requests) if strange]
    tables = torch.arange(len(lens) * 40).view(len(lens), 40) + 1
    wanted = [int(tables[row, block]) for row in rows for block in range(40) if (block + 1) * size <= lens[row] - 1]
    assert complete_blocks(tables, lens, size, rows).tolist() == wanted
