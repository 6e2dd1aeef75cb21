"""Blocks are read in place from the slots of SGLang's pool, whatever a page holds; summaries are counted before they are made."""
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compiler.test_cpu import MIXED, POINT, geometry_of
from tests.compiler.world import World, built_in
from vortex.config import OperatingPoint
from vortex.errors import EngineError
from vortex.flows import names
from vortex.ir import Geometry
from vortex.serving.sglang.pools import SummaryShape, as_blocks
from vortex.serving.sglang.served import block_tables, completed


@pytest.mark.parametrize("slots", [64, 67], ids=["whole blocks", "a rest"])
def test_blocks_of_a_pool_by_tokens_are_views_of_its_slots(slots: int) -> None:
    buffer = torch.randn(slots, 2, 8)
    blocks = as_blocks(buffer, 16)
    assert blocks.shape == (2, 4, 16, 8) and blocks.data_ptr() == buffer.data_ptr()
    for slot in range(64):
        torch.testing.assert_close(blocks[:, slot // 16, slot % 16], buffer[slot], rtol=0, atol=0)


def test_blocks_of_a_pool_by_head_are_its_pages() -> None:
    buffer = torch.randn(4, 2, 16, 8)
    blocks = as_blocks(buffer, 16)
    assert blocks.data_ptr() == buffer.data_ptr()
    torch.testing.assert_close(blocks, buffer.transpose(0, 1), rtol=0, atol=0)


def test_pages_by_head_that_hold_several_blocks_are_not_taken() -> None:
    with pytest.raises(EngineError, match="hold 32 tokens, and blocks 16"):
        as_blocks(torch.zeros(4, 2, 32, 8), 16)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_tables_and_completed_blocks_are_those_of_a_plain_loop(data: st.DataObject) -> None:
    size, per_page = data.draw(st.sampled_from([1, 2, 16])), data.draw(st.sampled_from([1, 2, 4]))
    lens = data.draw(st.lists(st.integers(1, 9 * size), min_size=1, max_size=4))
    page = size * per_page
    counts = [-(-length // page) for length in lens]
    free = iter(data.draw(st.permutations(range(1, sum(counts) + 1))))
    rows = [[next(free) * page + offset for _ in range(count) for offset in [0]] for count in counts]
    slots = [[first + offset for first in firsts for offset in range(page)] for firsts in rows]
    table = torch.zeros(len(lens), max(map(len, slots)) + 5, dtype=torch.int32)
    for row, own in enumerate(slots):
        table[row, :len(own)] = torch.tensor(own)
    found = block_tables(table, lens, size)
    assert found.dtype == torch.int64 and found.shape == (len(lens), -(-max(lens) // size))
    for row, (own, length) in enumerate(zip(slots, lens, strict=True)):
        wanted = [own[position] // size for position in range(0, length, size)]
        assert found[row].tolist() == wanted + [0] * (found.shape[1] - len(wanted))
        ends = [own[position] // size for position in range(length) if position % size == size - 1]
        assert completed(torch.tensor(own[:length]), size).tolist() == ends


class BySlot(World):
    """A World whose pools lie as SGLang's: tokens outermost, in the middle of a larger buffer."""

    def _numbers(self, *shape: int) -> torch.Tensor:
        drawn = super()._numbers(*shape)
        heads, blocks, size, channels = shape
        buffer = torch.full(((blocks + 1) * size - 1, heads, channels), self.poison)
        as_blocks(buffer, size).copy_(drawn)
        return as_blocks(buffer, size)


@pytest.mark.parametrize(("lens", "scattered"), [(MIXED, True), ([200, 200, 200], False), ([199, 197, 208], False)],
                         ids=["gathered", "one view", "one view of blocks"])
@pytest.mark.parametrize("name", names())
def test_a_flow_selects_and_attends_alike_over_slots(name: str, lens: list[int], scattered: bool) -> None:
    BySlot(built_in(name, geometry_of(name)), POINT, list(lens), scattered=scattered).check()


@pytest.mark.parametrize("name", ["quest", "lserve", "running-average", "random"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_summaries_take_the_bytes_that_were_counted(name: str, dtype: str) -> None:
    graph, point = built_in(name, Geometry(16, 32, 2)), OperatingPoint(dtype=dtype)
    shape = SummaryShape(heads=2, blocks=10, layers=frozenset({1, 4}))
    made = shape.make(graph, point, torch.device("cpu"))
    assert made.bytes == shape.bytes(graph, point)
    assert set(made.fields) == set(made.state) == {1, 4}
    made.wipe()
    assert all(tensor.isnan().all() for named in made.fields.values() for tensor in named.values())
