"""The measured rule, by clocks that are made up: a line for each side, and noise that never turns them round."""
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vortex.serving.sglang.break_even import LONGEST, SHORTEST, Measured, Room, Timed, measured, sizes_for
from vortex.serving.sglang.dense_rule import DENSE

ROOM = Room(pool=1 << 20, request=1 << 17, block_size=16)


class Lines:
    """Dense steps grow with the context, sparse ones cost `base` more and grow a tenth as fast."""

    def __init__(self, base: float) -> None:
        self.base = base
        self.asked: list[tuple[int, int, str]] = []

    def __call__(self, requests: int, context: int, label: str) -> float:
        self.asked.append((requests, context, label))
        own = requests * context * 1e-9
        return own if label == DENSE else self.base + own / 10


@settings(max_examples=50, deadline=None)
@given(st.floats(1e-7, 1e-2), st.sampled_from([1, 4, 32, 256]))
def test_the_point_found_is_the_first_context_at_which_the_flow_is_faster(base: float, size: int) -> None:
    clock = Lines(base)
    below = measured(clock, [size], ROOM).below[size]
    faster = [context for context in ROOM.contexts(size) if 0.9 * size * context * 1e-9 > base]
    assert below == (faster[0] if faster else None)
    assert len(clock.asked) <= 2 * 6, "bisection"


def test_each_batch_size_has_its_own_point() -> None:
    found = measured(Lines(1e-5), [1, 8], ROOM)
    assert found.below[1] is not None and found.below[8] is not None and found.below[1] > found.below[8]
    one = found.below[1]
    assert found.rule.dense([one - 1]) and not found.rule.dense([one])
    assert not found.rule.dense([one - 1] + [5] * 7)


def test_all_ranks_go_by_the_first_ones_clock() -> None:
    verdicts: list[bool] = []

    def first(verdict: bool) -> bool:
        verdicts.append(verdict)
        return False

    assert measured(Lines(0.0), [4], ROOM, first).below == {4: None} and all(verdicts)


@pytest.mark.parametrize(("room", "requests", "ends"), [
    (ROOM, 1, (512, 1 << 17)), (ROOM, 256, (512, 4096)), (Room(pool=8192, request=8192, block_size=16), 8, (512, 1024)),
    (Room(pool=8192, request=600, block_size=16), 1, (512, 512)), (Room(pool=8192, request=8192, block_size=64), 1, (512, 8192)),
    (Room(pool=1 << 24, request=1 << 20, block_size=16), 2, (SHORTEST, LONGEST))])
def test_contexts_are_whole_blocks_that_requests_may_have(room: Room, requests: int, ends: tuple[int, int]) -> None:
    contexts = room.contexts(requests)
    assert (contexts[0], contexts[-1]) == ends and list(contexts) == sorted(set(contexts))
    assert all(context % room.block_size == 0 for context in contexts)


def test_a_size_that_no_context_leaves_room_for_goes_by_the_others() -> None:
    found = measured(Lines(1e-7), [1, 64], Room(pool=8192, request=8192, block_size=16))
    assert set(found.below) == {1}


@pytest.mark.parametrize(("captured", "sizes"), [
    ([1, 2, 4, 8, 12, 16, 24], (1, 2, 4, 8, 16, 24)), ([3], (3,)), ([8, 4, 160, 128], (4, 8, 128, 160))])
def test_sizes_are_powers_of_two_and_the_largest(captured: list[int], sizes: tuple[int, ...]) -> None:
    assert sizes_for(captured) == sizes


def test_the_table_is_kept_with_what_it_is_about(tmp_path: Path) -> None:
    found = Measured(below={1: None, 8: 2048}, timed=[Timed(requests=8, context=2048, dense_s=2e-5, sparse_s=1.5e-5)])
    found.keep(tmp_path / "table.json", {"chip": "NVIDIA H200"})
    assert json.loads((tmp_path / "table.json").read_text()) == {
        "chip": "NVIDIA H200", "below": {"1": None, "8": 2048},
        "timed": [{"requests": 8, "context": 2048, "dense_us": 20.0, "sparse_us": 15.0}]}
    assert str(found) == "1: always, 8: 2048"
