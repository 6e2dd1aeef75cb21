"""How attention is cut, and what of it is built ahead of time."""
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vortex.compiler.kernels import attention_kernels as device_side
from vortex.compiler.kernels.attention_ahead import attention_kernels
from vortex.compiler.kernels.attention_shape import AttentionShape
from vortex.errors import CompileError

GQA = AttentionShape(group=4, channels=128, values=128, block_size=16, sparse=True)
DENSE = AttentionShape(group=4, channels=128, values=128, block_size=16, sparse=False)
LATENT = AttentionShape(group=128, channels=576, values=512, block_size=64, sparse=True, rank=512)


@pytest.mark.parametrize(("shape", "rows", "listed", "splits"), [
    (GQA, 8, 32, 8),              # one request: a tile to each program, and the chip is far from full
    (DENSE, 8, 2048, 32),         # 32K tokens of one request: 256 of 264 places
    (DENSE, 1024, 2048, 1),       # 128 requests fill the chip alone
    (GQA, 128, 64, 3),            # 384 of 396 places
    (LATENT, 1, 1, 1),            # two tiles: joining costs what sharing saves
    (LATENT, 16, 32, 4),          # two programs read a request: 128 of 132 places
], ids=str)
def test_splits_fill_the_chip(shape: AttentionShape, rows: int, listed: int, splits: int) -> None:
    assert shape.splits(rows, listed) == splits


@given(rows=st.integers(1, 5000), listed=st.integers(0, 1 << 20), processors=st.integers(1, 200))
def test_there_is_always_a_split_and_never_more_than_tiles(rows: int, listed: int, processors: int) -> None:
    tiles = max(1, -(-listed * DENSE.block_size // DENSE.tile.tokens))
    assert 1 <= DENSE.splits(rows, listed, processors) <= tiles


@pytest.mark.parametrize(("group", "heads", "groups"), [(1, 16, 1), (16, 16, 1), (20, 32, 1), (33, 64, 1), (128, 64, 2)])
def test_latent_attention_shares_one_reading_among_many_heads(group: int, heads: int, groups: int) -> None:
    shape = AttentionShape(group=group, channels=576, values=512, block_size=64, sparse=True, rank=512)
    assert (shape.heads, shape.groups) == (heads, groups)


@pytest.mark.parametrize("shape", [GQA, DENSE, LATENT], ids=["sparse", "dense", "latent"])
def test_descriptions_name_every_argument_once_and_in_order(shape: AttentionShape) -> None:
    kernels = attention_kernels(shape, mass=True)
    assert [kernel.entry for kernel in kernels] == ["attend_split", "attend_split", "join_splits", "weigh_blocks"]
    assert len({kernel.digest for kernel in kernels}) == 4
    for kernel in kernels:
        names = getattr(device_side, kernel.entry).arg_names
        assert [name for name in names if name not in kernel.constants] == list(kernel.signature)
        assert set(kernel.constants) <= set(names) and set(kernel.aligned) <= set(kernel.signature)


def test_a_cache_of_fp8_is_refused_where_the_chip_has_none() -> None:
    with pytest.raises(CompileError, match="sm_80") as refusal:
        attention_kernels(AttentionShape(group=4, channels=128, values=128, block_size=16, sparse=True, chip=80,
                                         cache=torch.float8_e4m3fn))
    assert "bfloat16" in refusal.value.hint
