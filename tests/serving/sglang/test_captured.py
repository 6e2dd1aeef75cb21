"""Captured steps, by kernels under Triton's interpreter: what steps made anew by the CPU's Program attend and write."""
import math
from dataclasses import dataclass, replace

import pytest
import torch

from tests.compiler.test_cpu import POINT, geometry_of
from tests.compiler.world import built_in
from tests.serving.sglang.pool import Pool
from vortex.compiler.kernels.program import TritonProgram
from vortex.serving.layers import Layers
from vortex.serving.sglang.captured import CapturedGraphs, CapturedStep
from vortex.serving.sglang.counters import Counters
from vortex.serving.sglang.dense_rule import NEVER, DenseRule, fixed_rule, labels_of
from vortex.serving.sglang.pools import SummaryShape
from vortex.serving.sglang.served import DecodeStep, Served

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="kernels run on the GPU")
CPU = torch.device("cpu")
LENS = [5, 95, 200]
LAYERS = Layers(select=frozenset({0, 2}), reuse=frozenset({3}))
GARBAGE = 0x7f7f7f7f
FILL = 1                                  # what SGLang's backends let lengths of padded rows be


@dataclass
class Twin:
    """The same pages served twice: by steps of a Pool, and by captured steps of several sizes, of whose rows some are padding."""

    pool: Pool

    def __post_init__(self) -> None:
        pool = self.pool
        own = torch.zeros(pool.keys[0].shape[0], dtype=torch.bool)
        own[pool.slots.flatten()] = True
        for tensor in (*pool.keys, *pool.values):
            tensor[~own] = float("nan")
        self.served = self._kernels()
        self.rows = torch.arange(len(pool.lens)) * 2 + 1
        self.table = torch.full((2 * len(pool.lens) + 1, pool.slots.shape[1] + 7), GARBAGE, dtype=torch.int32)
        self.table[0] = 0
        self.table[self.rows, :pool.slots.shape[1]] = pool.slots.to(torch.int32)
        self.counters = Counters(device=CPU)
        self.graphs = CapturedGraphs(self.served, -(-self.table.shape[1] // pool.point.block_size), CPU, self.counters)
        self.chosen = 0

    def _kernels(self) -> Served:
        pool = self.pool
        program = TritonProgram(pool.graph, pool.point, "cpu")
        shape = SummaryShape(heads=pool.heads, blocks=pool.served.pages.k(0).shape[1], layers=pool.layers.select,
                             dtypes={f.name: program.field_dtype(f.name) for f in pool.graph.fields})
        summaries = shape.make(pool.graph, pool.point, CPU)
        summaries.wipe()
        served = replace(pool.served, program=program, summaries=summaries)
        served.rebuild(self.complete())
        return served

    def complete(self) -> torch.Tensor:
        size = self.pool.point.block_size
        return torch.cat([own[:length // size * size:size] // size
                          for own, length in zip(self.pool.slots, self.pool.lens, strict=True)])

    def buffers(self, size: int) -> tuple[torch.Tensor, ...]:
        """As SGLang's are at a replay of `size` rows."""
        count = len(self.pool.lens)
        lens, requests, slots = (torch.full((size,), fill) for fill in (FILL, 0, 0))
        lens[:count], requests[:count] = torch.tensor(self.pool.lens), self.rows
        slots[:count] = torch.stack([own[length - 1] for own, length in zip(self.pool.slots, self.pool.lens, strict=True)])
        return lens, requests, slots, self.table

    def check(self, size: int, rule: DenseRule = NEVER) -> None:
        """One more token a request, all layers, in a step of `size` rows."""
        pool = self.pool
        pool.grow()
        anew = pool.step()
        self.graphs.choose(anew.batch.names, anew.batch.lens, rule)
        self.graphs.replay(size, lambda name: anew.batch.seeds[int(name)])
        step = self.graphs.step(size)
        step.dense = self.graphs.dense
        self.poison(step)
        step.begin(*self.buffers(size))
        for layer in range(4):
            self.served.summarise(layer, step.done)
            assert step.sparse(layer) == (anew.sparse(layer) and not step.dense)
            if step.sparse(layer):
                self.same_attention(step, anew, layer, size)
        self.same_summaries()

    def poison(self, step: CapturedStep) -> None:
        """All that is shared but tickets, which are 0 between launches."""
        for (name, _), tensor in self.graphs._arena._held.items():
            if "tickets" not in name:
                tensor.fill_(float("nan") if tensor.is_floating_point() else GARBAGE)
        step._plan.inputs.lens.fill_(GARBAGE)

    def same_attention(self, step: CapturedStep, anew: DecodeStep, layer: int, size: int) -> None:
        count, scale = len(self.pool.lens), 1 / math.sqrt(self.pool.graph.geometry.head_dim)
        own = self.pool.query()
        q = torch.full((size, *own.shape[1:]), float("nan"))
        q[:count] = own
        found = step.attend(layer, q, scale)
        torch.testing.assert_close(found[:count], anew.attend(layer, own, scale), rtol=1e-4, atol=1e-5)
        assert not found[count:].any(), "who is not there attends nothing"
        assert step._selected is not None and anew._selected is not None
        self.chosen += int(anew._selected.counts.sum())

    def same_summaries(self) -> None:
        """Of complete blocks."""
        own, other = self.complete(), self.pool.served.summaries
        for ours, theirs in ((self.served.summaries.fields, other.fields), (self.served.summaries.state, other.state)):
            for layer, named in ours.items():
                for name, tensor in named.items():
                    torch.testing.assert_close(tensor[:, own], theirs[layer][name][:, own], rtol=1e-4, atol=1e-5, equal_nan=True)


def twin(flow: str, page: int = 1, **point: object) -> Twin:
    return Twin(Pool(built_in(flow, geometry_of(flow)), POINT.with_(**point), list(LENS), page=page, layers=LAYERS))


@pytest.mark.parametrize(("flow", "page"), [("quest", 4), ("mla-centroid", 2), ("running-average", 1), ("random", 2)])
def test_steps_of_any_size_attend_and_write_what_steps_made_anew_do(flow: str, page: int) -> None:
    twins = twin(flow, page)
    for size in (5, 3):
        twins.check(size)
    told = twins.counters.told()
    assert told["selected_blocks"] == twins.chosen > 0 and told["steps"] == 2 and told["dense_steps"] == 0
    blocks = sum(-(-(length + step) // 16) for length in LENS for step in (1, 2))
    assert told["possible_blocks"] == blocks * 3 * twins.pool.heads       # two layers select, one attends the same lists


def test_dense_steps_write_summaries_and_choose_nothing() -> None:
    twins = twin("quest", dense_below="auto")
    rule = DenseRule(below={4: 202, 8: 1})
    for longest in (201, 202):                                            # at the first step 95 tokens become 96: a block
        twins.check(4, rule)
        assert twins.graphs.dense == (longest < 202)
    told = twins.counters.told()
    assert (told["steps"], told["dense_steps"]) == (2, 1) and told["selected_blocks"] == twins.chosen > 0


@pytest.mark.parametrize(("flow", "point", "labels"), [
    ("quest", {}, ("dense", "sparse")), ("quest", {"dense_below": "auto"}, ("dense", "sparse")),
    ("quest", {"dense_below": 4096}, ("dense", "sparse")), ("quest", {"dense_below": 0}, ("sparse",)),
    ("quest", {"dense_below": "never"}, ("sparse",)), ("running-average", {"dense_below": 4096}, ("sparse",)),
    ("running-average", {}, ("sparse",))])
def test_a_size_is_captured_twice_where_a_step_may_be_dense(flow: str, point: dict[str, object], labels: tuple[str, ...]) -> None:
    assert labels_of(built_in(flow, geometry_of(flow)), POINT.with_(**point)) == labels


@pytest.mark.parametrize(("lens", "label"), [
    ([99], "dense"), ([100], "sparse"), ([5, 99], "dense"), ([], "dense"), (None, "sparse")])
def test_the_host_chooses_by_the_true_batch_and_without_lengths_what_is_right_for_all(lens: list[int] | None, label: str) -> None:
    graphs = twin("quest").graphs
    names = [str(row) for row in range(len(lens or ()))]
    assert graphs.choose(names, lens, fixed_rule(100)) == label
    assert graphs.dense == (label == "dense") and graphs.names == tuple(names)
    only = twin("quest", dense_below="never").graphs
    assert only.choose(names, lens, fixed_rule(100)) == "sparse" and not only.dense


def test_sizes_share_memory() -> None:
    twins = twin("quest")
    alone = {}
    for size in (16, 8, 3):
        twins.graphs.step(size).begin(*(tensor[:size] for tensor in twins.buffers(16)[:3]), twins.table)
        twins.graphs.step(size).attend(0, torch.zeros(size, 2, 2, 32), 1.0)
        alone[size] = twins.graphs._arena.bytes
    assert alone[16] == alone[8] == alone[3]
