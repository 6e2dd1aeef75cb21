"""Captured steps, by kernels under Triton's interpreter: what steps made anew by the CPU's Program attend and write."""
import math
from dataclasses import dataclass, replace

import pytest
import torch

from tests.compiler.test_cpu import POINT, geometry_of
from tests.compiler.world import built_in
from tests.serving.sglang.pool import Pool
from vortex.compiler.kernels.program import TritonProgram
from vortex.config import OperatingPoint
from vortex.serving.layers import Layers
from vortex.serving.sglang.captured import CapturedStep
from vortex.serving.sglang.counters import Counters
from vortex.serving.sglang.pools import SummaryShape
from vortex.serving.sglang.served import Served

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="kernels run on the GPU")
CPU = torch.device("cpu")
LENS = [5, 95, 200]
LAYERS = Layers(select=frozenset({0, 2}), reuse=frozenset({3}))
GARBAGE = 0x7f7f7f7f
FILL = 1                                  # what SGLang's backends let lengths of padded rows be


@dataclass
class Twin:
    """The same pages served twice: by steps of a Pool, and by one captured step of `size` rows, of which some are padding."""

    pool: Pool
    size: int = 4

    def __post_init__(self) -> None:
        pool = self.pool
        own = torch.zeros(pool.keys[0].shape[0], dtype=torch.bool)
        own[pool.slots.flatten()] = True
        for tensor in (*pool.keys, *pool.values):
            tensor[~own] = float("nan")
        self.served = self._kernels()
        self.rows = torch.arange(len(pool.lens)) * 2 + 1
        self.table = torch.full((2 * self.size + 1, pool.slots.shape[1] + 7), GARBAGE, dtype=torch.int32)
        self.table[0] = 0
        self.table[self.rows, :pool.slots.shape[1]] = pool.slots.to(torch.int32)
        blocks = -(-self.table.shape[1] // pool.point.block_size)
        self.counters = Counters(device=CPU)
        self.step = CapturedStep(self.served, self.size, pool.heads, blocks, CPU, self.counters)

    def _kernels(self) -> Served:
        pool = self.pool
        program = TritonProgram(pool.graph, pool.point, "cpu")
        shape = SummaryShape(heads=pool.heads, blocks=pool.served.pages.k(0).shape[1], layers=pool.layers.select,
                             dtypes={f.name: program.field_dtype(f.name) for f in pool.graph.fields})
        summaries = shape.make(pool.graph, pool.point, CPU)
        summaries.wipe()
        served = replace(pool.served, program=program, summaries=summaries)
        size = pool.point.block_size
        served.rebuild(torch.cat([own[:length // size * size:size] // size
                                  for own, length in zip(pool.slots, pool.lens, strict=True)]))
        return served

    def seats(self) -> tuple[torch.Tensor, ...]:
        """As SGLang's buffers are at a replay."""
        count = len(self.pool.lens)
        lens, requests, slots = (torch.full((self.size,), fill) for fill in (FILL, 0, 0))
        lens[:count], requests[:count] = torch.tensor(self.pool.lens), self.rows
        slots[:count] = torch.stack([own[length - 1] for own, length in zip(self.pool.slots, self.pool.lens, strict=True)])
        return lens, requests, slots, self.table

    def check(self, dense: bool = False) -> None:
        """One more token a request, all layers."""
        pool, scale = self.pool, 1 / math.sqrt(self.pool.graph.geometry.head_dim)
        pool.grow()
        anew = pool.step()
        self.step._plan.inputs.tables.fill_(GARBAGE)
        self.step._plan.inputs.lens.fill_(GARBAGE)
        self.step.sow(anew.batch.names, lambda name: anew.batch.seeds[int(name)])
        self.step.dense = dense
        self.step.begin(*self.seats())
        for layer in range(4):
            self.served.summarise(layer, self.step.done)
            assert self.step.sparse(layer) == (anew.sparse(layer) and not dense)
            if self.step.sparse(layer):
                q = torch.full((self.size, *pool.query().shape[1:]), float("nan"))
                q[:len(pool.lens)] = pool.query()
                found = self.step.attend(layer, q, scale)
                right = anew.attend(layer, q[:len(pool.lens)], scale)
                torch.testing.assert_close(found[:len(pool.lens)], right, rtol=1e-4, atol=1e-5)
                assert not found[len(pool.lens):].any(), "who is not there attends nothing"
        self.same_summaries()

    def same_summaries(self) -> None:
        """Of complete blocks."""
        size = self.pool.point.block_size
        own = torch.cat([slots[:length // size * size:size] // size
                         for slots, length in zip(self.pool.slots, self.pool.lens, strict=True)])
        for ours, theirs in zip((self.served.summaries.fields, self.served.summaries.state),
                                (self.pool.served.summaries.fields, self.pool.served.summaries.state), strict=True):
            for layer, named in ours.items():
                for name, tensor in named.items():
                    torch.testing.assert_close(tensor[:, own], theirs[layer][name][:, own], rtol=1e-4, atol=1e-5, equal_nan=True)


def twin(flow: str, lens: list[int] = LENS, size: int = 4, page: int = 1, point: OperatingPoint = POINT) -> Twin:
    return Twin(Pool(built_in(flow, geometry_of(flow)), point, list(lens), page=page, layers=LAYERS), size)


@pytest.mark.parametrize(("flow", "page"), [("quest", 1), ("quest", 4), ("mla-centroid", 1), ("mla-centroid", 2),
                                            ("running-average", 1), ("random", 2)])
def test_steps_attend_and_write_what_steps_made_anew_do(flow: str, page: int) -> None:
    twins = twin(flow, page=page)
    for _ in range(3):
        twins.check()
