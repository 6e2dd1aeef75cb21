"""What summaries take beside the KV cache, counted before they are there."""
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.compiler.world import built_in
from tests.serving.sglang.facts import LATENT, SHAPE
from vortex.config import OperatingPoint
from vortex.errors import EngineError
from vortex.serving.checkpoint import ModelShape
from vortex.serving.sglang.memory import Demand, amount, check_room, demand, index_bytes, kv_bytes
from vortex.serving.sglang.pools import SummaryShape

POINT = OperatingPoint(model="m", engine="sglang", dtype="bfloat16")


@pytest.mark.parametrize(("name", "shape", "dtype"), [("quest", SHAPE, "bfloat16"), ("quest", SHAPE, "float32"),
                                                      ("h2o", SHAPE, "float32"), ("mla-centroid", LATENT, "bfloat16")])
def test_what_is_counted_is_what_is_allocated(name: str, shape: ModelShape, dtype: str) -> None:
    point, graph, blocks = POINT.with_(dtype=dtype), built_in(name, shape.geometry(16)), 8
    made = SummaryShape(heads=shape.kv_heads, blocks=blocks, layers=frozenset({0, 2})).make(graph, point, torch.device("cpu"))
    counted = index_bytes(graph, point, shape.kv_heads, 2) * blocks * point.block_size
    assert made.bytes <= counted < made.bytes + blocks * point.block_size


def test_two_extremes_of_each_block_take_a_sixteenth_of_what_they_summarise() -> None:
    graph, every = built_in("quest", SHAPE.geometry(16)), frozenset(range(SHAPE.layers))
    found = demand(graph, POINT, SHAPE, every, kv_bytes(SHAPE, SHAPE.layers, 2))
    assert found == Demand(kv=4 * 2 * 32 * 2 * 2, index=4 * 2 * 32 * 2 * 2 // 16)
    assert found.told(1600) == ("summaries take 64 bytes a token beside 1024 of keys and values (5.9% of both), "
                                "100.0 KiB for 1600 tokens")


def test_latent_rows_are_keys_and_values_at_once() -> None:
    assert kv_bytes(LATENT, 4, 2) == 4 * 80 * 2


def test_more_can_be_kept_for_flows_to_come() -> None:
    assert demand(None, POINT, SHAPE, frozenset(), 1000, reserve=0.125) == Demand(kv=1000, index=125)
    graph = built_in("quest", SHAPE.geometry(16))
    assert demand(graph, POINT, SHAPE, frozenset({0}), 1024, reserve=0.001).index == 16


@given(kv=st.integers(1, 1 << 20), index=st.integers(0, 1 << 20), room=st.integers(0, 1 << 32), tokens=st.integers(0, 1 << 16),
       least=st.integers(1, 512))
def test_room_is_enough_or_the_start_is_refused(kv: int, index: int, room: int, tokens: int, least: int) -> None:
    needed = Demand(kv=kv, index=index)
    wanted = tokens if tokens and tokens * kv <= room else least
    try:
        check_room(needed, room, tokens, least)
    except EngineError as error:
        assert wanted * (kv + index) > room and "--max-total-tokens" in error.hint
    else:
        assert wanted * (kv + index) <= room


@pytest.mark.parametrize(("size", "text"), [(12, "12 bytes"), (1536, "1.5 KiB"), (5 << 20, "5.0 MiB"), (3 << 30, "3.0 GiB")])
def test_amounts_read_well(size: int, text: str) -> None:
    assert amount(size) == text
