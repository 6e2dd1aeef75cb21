"""Draws by seed are MurmurHash3's, as a plain reading of its definition has them."""
import struct

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vortex.serving.sglang.draws import draw_hash

WORD = 2**32


def murmur(data: bytes) -> int:
    """MurmurHash3_x86_32 with seed 0, of whole words."""
    h = 0
    for (k,) in struct.iter_unpack("<I", data):
        k = k * 0xCC9E2D51 % WORD
        k = (k << 15 | k >> 17) % WORD * 0x1B873593 % WORD
        h = h ^ k
        h = ((h << 13 | h >> 19) % WORD * 5 + 0xE6546B64) % WORD
    h ^= len(data)
    h = (h ^ h >> 16) * 0x85EBCA6B % WORD
    h = (h ^ h >> 13) * 0xC2B2AE35 % WORD
    return h ^ h >> 16


@pytest.mark.parametrize(("data", "known"), [(b"", 0), (b"test", 0xBA6BD213), (b"\0\0\0\0", 0x2362F9DE)])
def test_the_plain_reading_gives_published_values(data: bytes, known: int) -> None:
    assert murmur(data) == known


@given(seeds=st.lists(st.integers(-2**63, 2**63 - 1), min_size=1, max_size=4), first=st.integers(0, 2**31 - 5))
def test_every_row_and_column_is_hashed_by_its_own_words(seeds: list[int], first: int) -> None:
    positions = [first + row for row in range(len(seeds))]
    found = draw_hash(torch.tensor(seeds).to(torch.uint64), torch.tensor(positions), torch.arange(3))
    assert found.tolist() == [[murmur(struct.pack("<QII", seed % 2**64, position, column)) for column in range(3)]
                              for seed, position in zip(seeds, positions, strict=True)]
