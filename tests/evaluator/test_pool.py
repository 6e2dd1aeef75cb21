"""Slots are lent in the order of asking; timings have a node to themselves; nodes come and go."""
import threading
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator.cluster.pool import Node, Pool, Slot, Want
from evaluator.worker import JobError

ALONE = Want(alone=True)


def nodes(*rooms: int, gpus: bool = False) -> list[Node]:
    return [Node(id=f"n{i}", room=room, gpus=gpus) for i, room in enumerate(rooms)]


def asked(pool: Pool, want: Want, hold: threading.Event) -> tuple[threading.Thread, list[Slot]]:
    """Somebody who waits in a thread, and keeps what they get until `hold` is set."""
    got: list[Slot] = []

    def wait() -> None:
        with pool.lend(want) as slot:
            got.append(slot)
            hold.wait(10)

    thread = threading.Thread(target=wait, daemon=True)
    before = len(pool._waiting) + sum(slot.lent for slot in pool.slots)
    thread.start()
    until(lambda: bool(got) or len(pool._waiting) + sum(slot.lent for slot in pool.slots) > before)
    return thread, got


def until(true: Callable[[], bool]) -> None:
    wait = threading.Event()
    for _ in range(1000):
        if true():
            return
        wait.wait(0.01)
    raise AssertionError("it never came true")


@pytest.mark.parametrize(("rooms", "most", "names"), [
    ((1,), None, ["n0/0"]),
    ((0, 1), None, ["n1/0"]),
    ((4, 4), 3, ["n0/0", "n0/1", "n1/0"]),
    ((1, 4), 4, ["n0/0", "n1/0", "n1/1", "n1/2"]),
    ((2, 2), 9, ["n0/0", "n0/1", "n1/0", "n1/1"]),
])
def test_slots_are_spread_over_the_nodes(rooms: tuple[int, ...], most: int | None, names: list[str]) -> None:
    pool = Pool(lambda: nodes(*rooms), most)
    assert sorted(slot.name for slot in pool.slots) == names


@pytest.mark.parametrize(("want", "name"), [
    (Want(warm=("embedded", "b", "y")), "n0/1"),           # the same engine, model and point
    (Want(warm=("embedded", "b", "z")), "n0/1"),           # the same engine and model
    (Want(warm=("sglang", "c", "z")), "n0/2"),             # rather an empty worker than another's engine
    (Want(warm=("embedded", "b", "y"), avoid=("n0/1",)), "n0/0"),   # where it was lost it does not go again
])
def test_a_warm_worker_is_preferred(want: Want, name: str) -> None:
    pool = Pool(lambda: nodes(3))
    for slot, warm in zip(pool.slots, [("embedded", "a", "x"), ("embedded", "b", "y"), ()], strict=True):
        slot.warm = warm
    with pool.lend(want) as slot:
        assert slot.name == name


def test_who_asks_first_is_served_first() -> None:
    pool, hold = Pool(lambda: nodes(1)), threading.Event()
    with pool.lend(Want()):
        first, second = asked(pool, Want(), hold), asked(pool, Want(), threading.Event())
    until(lambda: bool(first[1]))
    assert second[1] == []
    hold.set()
    until(lambda: bool(second[1]))


def test_a_timing_waits_for_a_whole_node_and_keeps_it_from_later_ones() -> None:
    pool, hold = Pool(lambda: nodes(2)), threading.Event()
    with ExitStack() as one:
        one.enter_context(pool.lend(Want()))
        timing, later = asked(pool, ALONE, hold), asked(pool, Want(), threading.Event())
        assert (timing[1], later[1]) == ([], [])
    until(lambda: bool(timing[1]))
    assert later[1] == [] and all(slot.lent for slot in pool.slots)
    hold.set()
    until(lambda: bool(later[1]))


def test_a_timing_that_waits_does_not_stop_other_nodes() -> None:
    pool = Pool(lambda: nodes(2, 2))
    with pool.lend(Want()), pool.lend(Want(avoid=("n0/0", "n0/1"))):
        timing, later = asked(pool, ALONE, threading.Event()), asked(pool, Want(), threading.Event())
        until(lambda: bool(later[1]))
        assert timing[1] == []


def test_with_a_gpu_each_a_timing_takes_its_own_only() -> None:
    pool = Pool(lambda: nodes(2, gpus=True))
    with pool.lend(ALONE) as one, pool.lend(ALONE) as other:
        assert one is not other


def test_a_lost_node_takes_its_slots_and_a_new_one_brings_some() -> None:
    there = nodes(1, 1)
    pool = Pool(lambda: there)
    there.pop(0)
    with pool.lend(Want()) as slot:
        assert (slot.name, len(pool.slots)) == ("n1/0", 1)
        there.append(Node(id="n2", room=2))
        with pool.lend(Want()) as other:
            assert (other.node.id, len(pool.slots)) == ("n2", 3)


@pytest.mark.parametrize(("rooms", "code"), [((1,), "closed"), ((0,), "no-worker")])
def test_who_waits_in_vain_is_told(rooms: tuple[int, ...], code: str) -> None:
    pool = Pool(lambda: nodes(*rooms), patience_s=0.0)
    for slot in pool.slots:
        slot.lent = True
        pool.close()
    with pytest.raises(JobError) as caught, pool.lend(Want()):
        pass
    assert caught.value.code == code


def test_a_slot_that_cannot_be_cleared_is_not_lent_again() -> None:
    pool = Pool(lambda: nodes(2))
    pool.retire(pool.slots[0])
    pool.refresh()
    assert [slot.name for slot in pool.slots] == ["n0/1"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.floats(0, 0.002)), min_size=1, max_size=12), st.lists(st.integers(1, 3), min_size=1,
                                                                                             max_size=3))
def test_nobody_shares_a_slot_and_timings_share_no_node(jobs: list[tuple[bool, float]], rooms: list[int]) -> None:
    pool, now, wrong = Pool(lambda: nodes(*rooms)), dict[Slot, bool](), list[str]()
    lock = threading.Lock()

    def work(alone: bool, seconds: float) -> None:
        with pool.lend(Want(alone=alone)) as slot:
            with lock:
                beside = [other for other in now if other.node.id == slot.node.id]
                if slot in now or (beside and (alone or any(now[other] for other in beside))):
                    wrong.append(slot.name)
                now[slot] = alone
            threading.Event().wait(seconds)
            with lock:
                del now[slot]

    threads = [threading.Thread(target=work, args=job, daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not wrong and not any(thread.is_alive() for thread in threads)
    assert not any(slot.lent for slot in pool.slots)
