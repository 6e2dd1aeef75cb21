"""Figures on traces equal what plain loops and the reference say of the same rows."""
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator.traces.allowance import allowed_bytes, spend
from evaluator.traces.capture import Trajectory
from evaluator.traces.divergence import UNCERTAIN, divergence
from evaluator.traces.offline import SEED, offline, ranked, truth
from evaluator.traces.profile import Heads, best_mass, sink
from evaluator.traces.proxies import Traces, measure
from tests.compiler.world import built_in
from tests.traces.conftest import POINT
from vortex.compiler import reference
from vortex.compiler.cost import Shape, cost
from vortex.config import OperatingPoint
from vortex.ir import Geometry, Graph
from vortex.serving.embedded.engine import EmbeddedEngine
from vortex.serving.engine import Path

GEOMETRY = Geometry(block_size=4, head_dim=8, group=2)
SMALL = OperatingPoint(block_size=4, topk_val=2, topk_ratio=0.0, block_reserved_bos=1, block_reserved_eos=1)


def drawn(seed: int, lens: tuple[int, ...], layers: int = 2, heads: int = 2) -> Trajectory:
    draw = torch.Generator().manual_seed(seed)
    q = torch.randn(len(lens), layers, heads, GEOMETRY.group, GEOMETRY.head_dim, generator=draw)
    k, v = (torch.randn(layers, heads, lens[-1], GEOMETRY.head_dim, generator=draw) for _ in "kv")
    return Trajectory(id="drawn", path=Path(prompt=(1,) * (lens[-1] - 2), forced=(1, 2, 3)), lens=lens, q=q, k=k, v=v)


def plainly(graph: Graph, point: OperatingPoint, one: Trajectory, step: int, layer: int, head: int) -> tuple[float, float, float]:
    """Error, mass and recall of one row, a block and a query head at a time."""
    length, size = one.lens[step], point.block_size
    row = reference.Row(q=one.q[step, layer, head], k=one.k[layer, head, :length], v=one.v[layer, head, :length], layer=layer,
                        head=head, seed=SEED + step)
    right, n = reference.run(graph, point, row), -(-length // size)
    dense = reference.attend(row, range(n), size)
    errors = [math.dist(a, b) / math.hypot(*b) for a, b in zip(right.output.tolist(), dense.tolist(), strict=True)]
    weights = torch.softmax(row.q @ row.k.T / math.sqrt(GEOMETRY.head_dim), dim=1).mean(dim=0).tolist()
    mass = [sum(weights[b * size:(b + 1) * size]) for b in range(n)]
    best = sorted(range(n), key=lambda b: -mass[b])[:len(right.blocks)]
    return sum(errors) / len(errors), sum(mass[b] for b in right.blocks), len({*best} & {*right.blocks}) / len(right.blocks)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(3, 60), min_size=1, max_size=3, unique=True),
       st.sampled_from(["quest", "centroid", "random", "value-energy", "h2o"]))
def test_offline_figures_are_those_of_plain_loops(seed: int, lens: list[int], flow: str) -> None:
    one, graph = drawn(seed, tuple(sorted(lens))), built_in(flow, GEOMETRY)
    found = offline(graph, SMALL, one, truth(one, SMALL.block_size))
    for step in range(len(one.lens)):
        for layer in range(one.layers):
            for head in range(one.kv_heads):
                own = [float(x[step, layer, head]) for x in (found.error, found.mass, found.recall)]
                assert own == pytest.approx(plainly(graph, SMALL, one, step, layer, head), abs=1e-4)


def test_dense_layers_are_unharmed_and_layers_that_reuse_take_the_selection_before() -> None:
    one, graph = drawn(3, (40, 60), layers=3), built_in("quest", GEOMETRY)
    point = SMALL.with_(layer_modes=("dense", "select", "reuse"))
    found = offline(graph, point, one, truth(one, 4))
    assert float(found.error[:, 0].max()) == 0 and float(found.mass[:, 0].min()) == 1
    assert float(found.error[:, 1:].min()) > 0
    torch.testing.assert_close(found.attended[:, 2], found.attended[:, 1])
    assert float(offline(None, point, one, truth(one, 4)).error.max()) == 0


def test_equal_mass_is_ranked_in_an_order_of_its_own() -> None:
    firsts = {ranked(torch.full((20,), 0.05), seed)[0] for seed in range(40)}
    assert len(firsts) > 10
    assert ranked(torch.tensor([0.1, 0.6, 0.3]), 0) == [1, 2, 0]


@pytest.mark.parametrize("flow", ["quest", "centroid", "random", "rocketkv", "oracle"])
@pytest.mark.parametrize("ratio", [0.0625, 0.25, 1.0])
def test_equal_bytes_are_the_most_that_are_allowed(flow: str, ratio: float) -> None:
    geometry, shape = Geometry(16, 64, 2), Shape(context=1024, layers=4, kv_heads=2)
    point, graph = OperatingPoint(topk_ratio=ratio), built_in(flow, geometry)
    allowed = allowed_bytes(built_in("quest", geometry), point, shape)
    found = spend(graph, point, shape, allowed)
    assert found.read_bytes == cost(graph, found.point, geometry, shape).bytes_per_step
    if flow == "oracle" and ratio < 1:
        assert found.share > 1 and found.point.topk_val == 0              # its index alone costs more
    else:
        more = found.point.with_(topk_val=found.point.topk_val + 1)
        assert found.share <= 1 and (ratio == 1 or cost(graph, more, geometry, shape).bytes_per_step > allowed)


def test_a_control_at_its_own_bytes_keeps_its_budget() -> None:
    geometry, shape = Geometry(16, 64, 2), Shape(context=1024, layers=4, kv_heads=2)
    quest, point = built_in("quest", geometry), OperatingPoint(topk_ratio=0.125)
    assert spend(quest, point, shape, allowed_bytes(quest, point, shape)).point.topk_val == 8 - 3


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 12))
def test_divergence_is_that_of_plain_loops(seed: int, steps: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    dense, sparse = (torch.log_softmax(3 * torch.randn(steps, 7, generator=draw, dtype=torch.float64), dim=-1) for _ in "ab")
    found = divergence(dense, sparse)
    gaps = [sum(math.exp(p) * (p - q) for p, q in zip(a, b, strict=True))
            for a, b in zip(dense.tolist(), sparse.tolist(), strict=True)]
    unsure = sorted(range(steps), key=lambda i: sum(math.exp(p) * p for p in dense[i].tolist()))
    unsure = unsure[:max(1, round(UNCERTAIN * steps))]
    changed = [a.index(max(a)) != b.index(max(b)) for a, b in zip(dense.tolist(), sparse.tolist(), strict=True)]
    assert found["kl"] == pytest.approx(sum(gaps) / steps)
    assert found["kl_uncertain"] == pytest.approx(sum(gaps[i] for i in unsure) / len(unsure))
    assert found["disagreement"] == pytest.approx(sum(changed) / steps)
    place, ordered = 0.99 * (steps - 1), [*sorted(gaps), 0.0]
    low = int(place)
    assert found["kl_p99"] == pytest.approx(ordered[low] + (place - low) * (ordered[low + 1] - ordered[low]))


def test_a_word_that_cannot_come_costs_nothing_unless_it_was_meant() -> None:
    never, sure = torch.tensor([[0.0, -math.inf]]), torch.tensor([[-math.inf, 0.0]])
    assert divergence(never, never)["kl"] == 0
    assert divergence(never, sure)["kl"] == math.inf


def test_measured_figures_order_flows_as_they_are_and_keep_their_names(leader: EmbeddedEngine,
                                                                       trajectories: list[Trajectory]) -> None:
    traces = Traces(trajectories, POINT.block_size)
    assert traces.geometry == leader.geometry(POINT.block_size)
    point = POINT.with_(topk_ratio=0.25)
    kl = {}
    for flow in ("oracle", "random"):
        found = measure(traces, leader, built_in(flow, traces.geometry), point, None)
        assert [one.id for one in found] == [one.id for one in trajectories]
        kl[flow] = sum(one.values["kl"] for one in found)
        assert all(one.share == 1 for one in found)
    assert kl["oracle"] < 0.1 < 1 < kl["random"]
    offline_only = measure(traces, None, built_in("quest", traces.geometry), point, None)
    assert set(offline_only[0].values) == {"output_error", "worst_head", "mass", "recall"}


def test_a_profile_holds_the_sink_and_the_most_that_a_budget_can_hold() -> None:
    traces = Traces([drawn(5, (30, 60))], 4)
    for one in (sink(traces), best_mass(traces, SMALL)):
        assert (len(one.values), len(one.values[0])) == (2, 2)
    masses = traces.truth(traces.trajectories[0]).mass
    first = sum(float(masses[step][1][0, 0]) for step in range(2)) / 2
    assert sink(traces).values[1][0] == pytest.approx(first)
    chosen = [float(m[1][0, 0] + m[1][0, -1] + m[1][0, 1:-1].topk(2).values.sum()) for m in masses]
    assert best_mass(traces, SMALL).values[1][0] == pytest.approx(sum(chosen) / 2)
    assert best_mass(traces, SMALL.with_(topk_ratio=1.0)).mean == 1.0
    assert Heads(values=((0.1, 0.9), (0.4, 0.3))).worst(low=True) == (0, 0, 0.1)
