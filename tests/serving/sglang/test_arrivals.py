"""Whose pages were not written here: each request is met once, and what it brings is summarised before its first step."""
import torch
from hypothesis import given
from hypothesis import strategies as st

from vortex.serving.sglang.arrivals import Arrivals, complete_blocks


def test_a_request_that_was_prefilled_here_is_no_stranger() -> None:
    arrivals = Arrivals()
    arrivals.written(["a"])
    assert arrivals.strangers(["a", "b", "c"]) == [1, 2]
    assert arrivals.strangers(["c", "b", "a", "d"]) == [3]


def test_forgetting_makes_strangers_of_all() -> None:
    arrivals = Arrivals()
    arrivals.written(["a", "b"])
    arrivals.forget()
    assert arrivals.strangers(["b", "a"]) == [0, 1]


def test_those_longest_unseen_are_forgotten_first() -> None:
    arrivals = Arrivals(most=2)
    arrivals.written(["a", "b"])
    assert arrivals.strangers(["a"]) == []
    arrivals.written(["c"])
    assert arrivals.strangers(["a", "c"]) == []
    assert arrivals.strangers(["b"]) == [0]


@given(st.lists(st.tuples(st.integers(1, 40), st.booleans()), min_size=1, max_size=5), st.sampled_from([1, 4, 16]))
def test_blocks_are_those_complete_before_the_token_that_is_decoded(requests: list[tuple[int, bool]], size: int) -> None:
    lens = [length for length, _ in requests]
    rows = [row for row, (_, strange) in enumerate(requests) if strange]
    tables = torch.arange(len(lens) * 40).view(len(lens), 40) + 1
    wanted = [int(tables[row, block]) for row in rows for block in range(40) if (block + 1) * size <= lens[row] - 1]
    assert complete_blocks(tables, lens, size, rows).tolist() == wanted
