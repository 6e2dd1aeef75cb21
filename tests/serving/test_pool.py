"""The allocator and the prefix cache: one owner a block, neighbours where there is room, leaves before roots."""
from hypothesis import given
from hypothesis import strategies as st

from vortex.serving.embedded.pool import Allocator
from vortex.serving.embedded.prefix import PrefixCache, chain


def test_requests_lie_side_by_side_in_an_empty_pool() -> None:
    allocator = Allocator(20)
    assert [allocator.allocate(4) for _ in range(3)] == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]
    assert allocator.free == 7


def test_the_smallest_hole_with_room_is_taken_and_holes_are_joined_where_none_has() -> None:
    allocator = Allocator(12)
    first, second, third = (allocator.allocate(n) for n in (3, 2, 4))
    allocator.release(first)
    allocator.release(third)
    assert allocator.allocate(3) == [1, 2, 3]
    allocator.release(second)
    assert allocator.allocate(8) == [4, 5, 6, 7, 8, 9, 10, 11]


def test_without_one_hole_large_enough_the_largest_are_taken_together() -> None:
    allocator = Allocator(11)
    parts = [allocator.allocate(n) for n in (2, 1, 4, 1, 2)]
    for part in parts[::2]:
        allocator.release(part)
    assert allocator.allocate(7) == [4, 5, 6, 7, 1, 2, 9]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=60))
def test_a_block_has_one_owner_and_every_block_comes_back(moves: list[tuple[bool, int]]) -> None:
    allocator, held = Allocator(40), []
    for take, amount in moves:
        if take and amount <= allocator.free:
            held.append(allocator.allocate(amount))
        elif not take and held:
            allocator.release(held.pop(amount % len(held)))
        owned = [block for blocks in held for block in blocks]
        assert len(owned) == len(set(owned)) and all(0 < block < 40 for block in owned)
        assert allocator.free == 39 - len(owned)
    for blocks in held:
        allocator.release(blocks)
    assert allocator.allocate(39) == list(range(1, 40))


def test_a_digest_stands_for_the_block_and_all_before_it() -> None:
    one, other = chain([1, 2, 3, 4, 5], 2), chain([9, 2, 3, 4, 5], 2)
    assert len(one) == 2 and one == chain([1, 2, 3, 4], 2)
    assert not set(one) & set(other)
    assert chain([1, 23], 2) != chain([12, 3], 2)


def test_the_longest_known_beginning_is_found_and_held() -> None:
    allocator = Allocator(10)
    cache, digests = PrefixCache(allocator), chain(range(6), 2)
    blocks = allocator.allocate(3)
    cache.add(digests[:2], blocks[:2])
    assert cache.find(digests) == blocks[:2]
    assert [allocator.holders(block) for block in blocks] == [3, 3, 1]
    assert cache.find(chain([0, 1, 9, 9], 2)) == blocks[:1]
    assert cache.find(chain([9, 1], 2)) == []


def test_eviction_spares_what_is_held_and_takes_the_end_of_a_chain_first() -> None:
    allocator = Allocator(7)
    cache, digests = PrefixCache(allocator), chain(range(8), 2)
    blocks = allocator.allocate(4)
    cache.add(digests, blocks)
    allocator.release(blocks)
    held = cache.find(digests[:1])
    cache.evict(4)
    assert allocator.free == 4
    assert cache.find(digests) == blocks[:2]
    allocator.release([*held, *blocks[:2]])
    cache.evict(6)
    assert allocator.free == 6
