"""Ranks of tensor parallelism together choose what one engine with all kv heads chooses."""
import numpy as np
import pytest
import torch

from tests.compiler.world import LAYER, World, built_in, listed
from vortex.compiler.cpu import CpuProgram
from vortex.compiler.front import load
from vortex.config import OperatingPoint
from vortex.errors import EngineError
from vortex.ir import Geometry, Graph, Parameter
from vortex.language.parameters import digest_of
from vortex.serving.checkpoint import ModelShape
from vortex.serving.sglang.ranks import rank_shape, share_of

GEOMETRY = Geometry(4, 8, 2)
HEADS = 4
LEARNED = """
from vortex import ops, register, vFlow


@register("learned")
class Learned(vFlow):
    def forward_cache(self, cache):
        cache["low"] = cache["k"].mean(dim=1) @ ops.param("learned.safetensors", "basis")

    def forward_indexer(self, q, cache):
        return ops.topk(((q @ ops.param("learned.safetensors", "basis")) @ cache["low"].T).max(dim=1))
"""
BY_HEAD = {"topk_layers": ((3, 1, 2, 5),), "topk_ratio": 0.0}
POINTS = {
    "one budget": OperatingPoint(block_size=4, topk_val=3, topk_ratio=0.0),
    "a budget by head": OperatingPoint(block_size=4, **BY_HEAD),
    "a share by head and layer": OperatingPoint(block_size=4, ratio_layers=(0.5, (0.2, 0.9, 0.4, 0.3))),
}


def learned(shape: tuple[int, ...]) -> Graph:
    data = np.random.default_rng(5).standard_normal(shape).astype("<f4").tobytes()
    return load(LEARNED, "<learned>", GEOMETRY, parameters=[
        Parameter("learned.safetensors", "basis", shape, digest_of(shape, data), data)])


FLOWS = {
    "quest": built_in("quest", GEOMETRY),
    "shared basis": learned((LAYER + 1, 8, 3)),
    "a basis by head": learned((LAYER + 1, HEADS, 8, 3)),
}


@pytest.mark.parametrize("ranks", [1, 2, 4, 8])
@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("point", POINTS)
def test_each_rank_chooses_for_its_heads_what_all_heads_together_do(point: str, flow: str, ranks: int) -> None:
    graph, whole = FLOWS[flow], POINTS[point]
    world = World(graph, whole, [37, 61, 18], heads=HEADS, scattered=True)
    plan, q = world.plan(), world.query()
    wanted = world.lists(plan, q)
    assert wanted is not None
    for rank in range(ranks):
        share = share_of(rank, ranks, HEADS)
        own = slice(share.first, share.first + share.heads)
        program = CpuProgram(share.graph(graph), share.point(whole))
        fields = {name: tensor[own] for name, tensor in world.fields.items()}
        planned = program.plan(plan.lens, plan.tables, plan.seeds)
        found = program.select(planned, q[:, own], world.k[own], world.v[own], fields, {}, LAYER)
        for request in range(len(plan.lens)):
            for head in range(share.heads):
                assert listed(found, request, head) == listed(wanted, request, share.first + head)


def test_a_rank_writes_summaries_with_its_own_part_of_a_parameter() -> None:
    graph, point = FLOWS["a basis by head"], POINTS["one budget"]
    world = World(graph, point, [37, 61], heads=HEADS)
    share = share_of(1, 2, HEADS)
    own = slice(2, 4)
    fields = {name: torch.full_like(tensor[own], torch.nan) for name, tensor in world.fields.items()}
    done = torch.tensor([b for blocks, n in zip(world.blocks, world.lens, strict=True) for b in blocks[:n // 4]])
    CpuProgram(share.graph(graph), share.point(point)).update(fields, {}, world.k[own], world.v[own], done, LAYER)
    for name, tensor in fields.items():
        torch.testing.assert_close(tensor[:, done], world.fields[name][own][:, done])


def test_one_rank_has_everything_as_it_is() -> None:
    share = share_of(0, 1, HEADS)
    graph, point = FLOWS["a basis by head"], POINTS["a budget by head"]
    assert share.graph(graph) is graph and share.point(point) is point and share.seed(-7) == -7


def test_the_same_request_draws_other_numbers_on_every_rank() -> None:
    assert len({share_of(rank, 4, 4).seed(12) for rank in range(4)}) == 4


def test_more_ranks_than_heads_serve_a_head_side_by_side() -> None:
    assert [(share_of(rank, 8, 4).first, share_of(rank, 8, 4).heads) for rank in range(8)] == [
        (rank // 2, 1) for rank in range(8)]


def test_uneven_ranks_and_tables_of_other_models_are_refused() -> None:
    with pytest.raises(EngineError, match="4 kv heads are not shared evenly by 3 ranks"):
        share_of(0, 3, 4)
    with pytest.raises(EngineError, match="topk_layers has an entry of 4 values; the model has 8 kv heads"):
        share_of(0, 2, 8).point(POINTS["a budget by head"])
    with pytest.raises(EngineError, match="has values for 4 kv heads; the model has 8"):
        share_of(0, 2, 8).graph(FLOWS["a basis by head"])


@pytest.mark.parametrize(("kv_heads", "group", "rank", "ranks", "wanted"), [
    (8, 4, 0, 1, (8, 4)), (8, 4, 0, 2, (4, 4)), (8, 4, 0, 8, (1, 4)), (8, 4, 0, 16, (1, 2)), (1, 20, 64, 4, (1, 5)),
])
def test_a_rank_serves_its_part_of_the_heads(kv_heads: int, group: int, rank: int, ranks: int, wanted: tuple[int, int]) -> None:
    shape = ModelShape(layers=2, kv_heads=kv_heads, group=group, head_dim=80, vocabulary=9, max_tokens=64, hidden=8,
                       intermediate=8, tied=False, kv_lora_rank=rank, qk_rope_head_dim=16 if rank else 0)
    found = rank_shape(shape, ranks)
    assert (found.kv_heads, found.group) == wanted and found.head_dim == 80
    assert found.geometry(16).latent == bool(rank)


def test_query_heads_that_ranks_cannot_share_are_refused() -> None:
    shape = ModelShape(layers=2, kv_heads=1, group=20, head_dim=80, vocabulary=9, max_tokens=64, hidden=8, intermediate=8,
                       tied=False, kv_lora_rank=64, qk_rope_head_dim=16)
    with pytest.raises(EngineError, match="20 query heads are not shared evenly by 8 ranks"):
        rank_shape(shape, 8)
