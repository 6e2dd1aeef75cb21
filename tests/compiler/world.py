"""A made-up decode step: requests in a pool full of other people's numbers, and the reference's word on each row."""
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from vortex.budget import num_blocks
from vortex.compiler import reference
from vortex.compiler.cpu import DTYPES, CpuProgram
from vortex.compiler.front import load
from vortex.compiler.layout import CpuPlan
from vortex.compiler.program import Lists
from vortex.config import OperatingPoint
from vortex.flows import read
from vortex.ir import Geometry, Graph

LAYER = 3
TOLERANCE = 2e-4


def built_in(name: str, geometry: Geometry) -> Graph:
    _, text, path = read(name)
    return load(text, path, geometry)


SUMMARIES = {"c": "cache['k'].mean(dim=1)", "hi": "cache['k'].max(dim=1)", "lo": "cache['k'].min(dim=1)",
             "p": "cache['k'][:, 0:2]"}


def written(body: str, geometry: Geometry) -> Graph:
    """A flow with those that `body` reads of the keys' centroid `c`, envelope `hi`, `lo` and pairs `p` [2, D]; `body`
    ends forward_indexer."""
    kept = [f"        cache['{name}'] = {text}\n" for name, text in SUMMARIES.items() if f"cache['{name}']" in body]
    cache = "".join(["    def forward_cache(self, cache):\n", *kept]) if kept else ""
    lines = "".join(f"        {line}\n" for line in body.splitlines())
    text = ("from vortex import ops, register, vFlow\n\n\n@register('flow')\nclass Flow(vFlow):\n"
            f"{cache}    def forward_indexer(self, q, cache):\n{lines}")
    return load(text, "flow.py", geometry)


@dataclass
class World:
    """`lens` tokens a request; `scattered` tables are drawn at random, others lie side by side."""

    graph: Graph
    point: OperatingPoint
    lens: list[int]
    heads: int = 2
    scattered: bool = False
    spare: int = 3                        # blocks each request may still grow by
    seed: int = 0
    states: dict[tuple[int, int], reference.Tensors] = field(default_factory=dict)

    def __post_init__(self) -> None:
        size, channels = self.graph.geometry.block_size, self.graph.geometry.head_dim
        self.random = torch.Generator().manual_seed(self.seed)
        owned = [num_blocks(length, size) + self.spare for length in self.lens]
        total = sum(owned) + 4
        ids = torch.randperm(total - 1, generator=self.random) + 1 if self.scattered else torch.arange(1, total)
        self.blocks = [part.tolist() for part in ids[:sum(owned)].split(owned)]
        pool = (self.heads, total, size, channels)
        self.k, self.v = torch.randn(pool, generator=self.random), torch.randn(pool, generator=self.random)
        dtype = DTYPES[self.point.dtype]
        self.fields = {f.name: torch.full((self.heads, total, f.rows, f.cols), 1e4, dtype=dtype)
                       for f in self.graph.summaries}
        self.state = {f.name: torch.full((self.heads, total, f.rows, f.cols), 1e4, dtype=dtype)
                      for f in self.graph.states}
        self.program = CpuProgram(self.graph, self.point)
        done = [b for own, length in zip(self.blocks, self.lens, strict=True) for b in own[:length // size]]
        self.program.update(self.fields, self.state, self.k, self.v, torch.tensor(done, dtype=torch.int64))

    def plan(self) -> CpuPlan:
        counts = [num_blocks(length, self.graph.geometry.block_size) for length in self.lens]
        tables = torch.zeros(len(self.lens), max(counts), dtype=torch.int64)
        for row, (own, n) in enumerate(zip(self.blocks, counts, strict=True)):
            tables[row, :n] = torch.tensor(own[:n])
        return self.program.plan(self.lens, tables, [seed * 7 - 1 for seed in range(len(self.lens))])

    def grow(self) -> None:
        """One token more a request; what completes a block is summarised."""
        size = self.graph.geometry.block_size
        self.lens = [length + 1 for length in self.lens]
        pairs = zip(self.blocks, self.lens, strict=True)
        done = [own[length // size - 1] for own, length in pairs if not length % size]
        if done:
            self.program.update(self.fields, self.state, self.k, self.v, torch.tensor(done))

    def row(self, request: int, head: int, q: torch.Tensor) -> reference.Row:
        table, length = torch.tensor(self.blocks[request]), self.lens[request]
        k, v = (pool[head, table].flatten(0, 1)[:length] for pool in (self.k, self.v))
        return reference.Row(q=q, k=k, v=v, layer=LAYER, head=head, seed=request * 7 - 1)

    def check(self) -> CpuPlan:
        """One step: the Program's lists, attention and state are the reference's."""
        plan, geometry = self.plan(), self.graph.geometry
        q = torch.randn(len(self.lens), self.heads, geometry.group, geometry.head_dim, generator=self.random)
        lists = self.program.select(plan, q, self.k, self.v, self.fields, self.state, LAYER)
        scale = 1 / math.sqrt(geometry.head_dim)
        out = self.program.attend(plan, q, self.k, self.v, lists, scale)
        if self.program.fits(plan, LAYER):
            torch.testing.assert_close(out, self.program.attend(plan, q, self.k, self.v, None, scale))
        for request in range(len(self.lens)):
            for head in range(self.heads):
                row = self.row(request, head, q[request, head])
                right = reference.run(self.graph, self.point, row, self.states.get((request, head)))
                self.states[request, head] = right.state
                taken = listed(lists, request, head)
                assert_same_blocks(taken, right)
                torch.testing.assert_close(out[request, head], reference.attend(row, taken, geometry.block_size),
                                           rtol=1e-4, atol=1e-5)
                self._check_state(request, head, right)
        return plan

    def _check_state(self, request: int, head: int, right: reference.Outcome) -> None:
        """Of completed blocks: an open one's is the last owner's until it completes."""
        count = self.lens[request] // self.graph.geometry.block_size
        complete = torch.tensor(self.blocks[request][:count], dtype=torch.int64)
        for name, state in right.state.items():
            torch.testing.assert_close(self.state[name][head, complete].float(), state[:count],
                                       rtol=1e-2 if self.point.dtype != "float32" else 1e-4, atol=1e-4)


def listed(lists: Lists, request: int, head: int) -> list[int]:
    count = int(lists.counts[request, head])
    assert not lists.index[request, head, count:].any()
    found: list[int] = lists.index[request, head, :count].tolist()
    return found


def assert_same_blocks(taken: Sequence[int], right: reference.Outcome) -> None:
    """The same list, but for blocks whose scores differ by the order of float operations only."""
    assert list(taken) == sorted(set(taken))
    assert len(taken) == len(right.blocks)
    ours, theirs = set(taken) - set(right.blocks), set(right.blocks) - set(taken)
    if ours:
        assert right.score is not None
        scores = [float(right.score[block]) for block in (*ours, *theirs)]
        assert max(scores) - min(scores) <= TOLERANCE * max(1.0, *map(abs, scores)), (taken, right.blocks)
