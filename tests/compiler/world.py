"""A made-up decode step: requests in a pool full of other people's numbers, and the reference's word on each row."""
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch

from tests.compiler.agreement import agrees
from vortex.budget import num_blocks
from vortex.compiler import reference
from vortex.compiler.cpu import DTYPES, CpuProgram
from vortex.compiler.front import load
from vortex.compiler.kept import Kept, carry, keep
from vortex.compiler.program import Lists, Plan, Program
from vortex.compiler.selection import Rule, rules
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
    """`lens` tokens a request; `scattered` tables are drawn at random, page by page, others lie side by side."""

    graph: Graph
    point: OperatingPoint
    lens: list[int]
    heads: int = 2
    scattered: bool = False
    page: int = 1                         # blocks that stay together
    spare: int = 3                        # blocks each request may still grow by
    seed: int = 0
    layer: int = LAYER
    step: int = 0
    whole: bool = False                   # numbers are small and whole: their sums and products are exact
    make: Callable[[Graph, OperatingPoint], Program] = CpuProgram
    device: str = "cpu"
    kv: str = "float32"                   # of keys, values and queries
    poison: float = 1e4                   # in summaries and state that nobody has written
    kept: Kept | None = None
    last: dict[tuple[int, int], reference.Outcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        size, channels = self.graph.geometry.block_size, self.graph.geometry.head_dim
        self.random = torch.Generator().manual_seed(self.seed)
        pages = [-(-(num_blocks(length, size) + self.spare) // self.page) for length in self.lens]
        total = sum(pages) + 4
        ids = torch.randperm(total - 1, generator=self.random) + 1 if self.scattered else torch.arange(1, total)
        runs = (ids[:, None] * self.page + torch.arange(self.page))[:sum(pages)].split(pages)
        self.blocks: list[list[int]] = [part.flatten().tolist() for part in runs]
        pool = (self.heads, total * self.page, size, channels)
        self.k, self.v = self._numbers(*pool), self._numbers(*pool)
        dtype = DTYPES[self.point.dtype]
        self.fields, self.state = (
            {f.name: torch.full((*pool[:2], f.rows, f.cols), self.poison, dtype=dtype, device=self.device) for f in fields}
            for fields in (self.graph.summaries, self.graph.states))
        self.program = self.make(self.graph, self.point)
        self._complete([b for own, length in zip(self.blocks, self.lens, strict=True) for b in own[:length // size]])

    def plan(self) -> Plan:
        counts = [num_blocks(length, self.graph.geometry.block_size) for length in self.lens]
        tables = torch.zeros(len(self.lens), max(counts), dtype=torch.int64)
        for row, (own, n) in enumerate(zip(self.blocks, counts, strict=True)):
            tables[row, :n] = torch.tensor(own[:n])
        return self.program.plan(self.lens, tables.to(self.device), [seed * 7 - 1 for seed in range(len(self.lens))])

    def grow(self) -> None:
        """The next step: one token more a request; what completes a block is summarised."""
        size = self.graph.geometry.block_size
        self.lens, self.step = [length + 1 for length in self.lens], self.step + 1
        pairs = zip(self.blocks, self.lens, strict=True)
        self._complete([own[length // size - 1] for own, length in pairs if not length % size])

    def _complete(self, blocks: Sequence[int]) -> None:
        if blocks:
            done = torch.tensor(blocks, dtype=torch.int64, device=self.device)
            self.program.update(self.fields, self.state, self.k, self.v, done, self.layer)

    def row(self, request: int, head: int, q: torch.Tensor) -> reference.Row:
        table, length = torch.tensor(self.blocks[request], device=self.device), self.lens[request]
        k, v = (pool[head, table].flatten(0, 1)[:length].float().cpu() for pool in (self.k, self.v))
        if self.graph.geometry.latent:
            v = k[:, :self.graph.geometry.kv_lora_rank]
        return reference.Row(q=q.float().cpu(), k=k, v=v, layer=self.layer, head=head, seed=request * 7 - 1, step=self.step)

    def lists(self, plan: Plan, q: torch.Tensor) -> Lists | None:
        """As an engine comes by them: chosen, or kept from the last selection; None: every block."""
        if self.kept is not None and self.step % self.point.renew_every:
            return carry(plan, self.kept)
        lists = self.program.select(plan, q, self.k, self.v, self.fields, self.state, self.layer)
        if self.step % self.point.renew_every == 0:
            self.kept = keep(plan, None if self.program.fits(plan, self.layer) else lists, self.point.block_reserved_eos)
        return lists

    def query(self) -> torch.Tensor:
        geometry = self.graph.geometry
        return self._numbers(len(self.lens), self.heads, geometry.group, geometry.head_dim)

    def _numbers(self, *shape: int) -> torch.Tensor:
        drawn = torch.randn(*shape, generator=self.random)
        return ((2 * drawn).round() if self.whole else drawn).to(self.device, DTYPES[self.kv])

    def check(self) -> Plan:
        """One step: the Program's lists, attention and state are the reference's."""
        plan, q = self.plan(), self.query()
        self.judge(plan, q, self.lists(plan, q))
        return plan

    def judge(self, plan: Plan, q: torch.Tensor, lists: Lists | None) -> None:
        scale = 1 / math.sqrt(self.graph.geometry.head_dim)
        out = self.program.attend(plan, q, self.k, self.v, lists, scale)
        if lists is not None and self.program.fits(plan, self.layer) and self.point.renew_every == 1:
            torch.testing.assert_close(out, self.program.attend(plan, q, self.k, self.v, None, scale))
        for request in range(len(self.lens)):
            for head in range(self.heads):
                taken = listed(lists, request, head) if lists else list(range(plan.blocks[request]))
                self._check_row(request, head, q[request, head], taken, out[request, head])

    def _check_row(self, request: int, head: int, q: torch.Tensor, taken: list[int], out: torch.Tensor) -> None:
        row, last = self.row(request, head, q), self.last.get((request, head))
        right = reference.run(self.graph, self.point, row, last.state if last else None, last=last)
        assert_same_blocks(taken, right, rules(self.graph), self.point.block_reserved_bos)
        loose = {"rtol": 1e-4, "atol": 1e-5} if self.kv == "float32" else {"rtol": 2e-2, "atol": 1e-2}
        attended = reference.attend(row, taken, self.graph.geometry.block_size)
        torch.testing.assert_close(out.float().cpu(), attended, **loose)
        self._check_state(request, head, right)
        self.last[request, head] = replace(right, blocks=tuple(taken))

    def _check_state(self, request: int, head: int, right: reference.Outcome) -> None:
        """Of completed blocks: an open one's is the last owner's until it completes."""
        count = self.lens[request] // self.graph.geometry.block_size
        complete = torch.tensor(self.blocks[request][:count], dtype=torch.int64, device=self.device)
        for name, state in right.state.items():
            torch.testing.assert_close(self.state[name][head, complete].float().cpu(), state, equal_nan=True,
                                       rtol=1e-2 if self.point.dtype != "float32" else 1e-4, atol=1e-4)


def listed(lists: Lists, request: int, head: int) -> list[int]:
    count = int(lists.counts[request, head])
    assert not lists.index[request, head, count:].any()
    found: list[int] = lists.index[request, head, :count].tolist()
    return found


def assert_same_blocks(taken: Sequence[int], right: reference.Outcome, asked: Sequence[Rule] = (Rule(op="topk"),),
                       bos: int = 1) -> None:
    """The same list, but for blocks whose scores differ by the order of float operations only."""
    assert list(taken) == sorted(set(taken))
    assert agrees(taken, right, asked, bos, TOLERANCE), (taken, right.blocks)
