"""One flow twice on the same requests: our Program over a paged pool, and the oracle over a pool of its own."""
from dataclasses import dataclass, field

import numpy as np
import torch

from tests.oracle.engine import Answer, Engine, Round, Setting, to_float32
from tests.oracle.package import Flow
from vortex.compiler.pipeline import compile
from vortex.compiler.program import Lists, Plan
from vortex.config import OperatingPoint
from vortex.ir import Geometry, Graph

LAYER = 1
NEAR = 2e-6                               # scores this near, relative to the row's, are a tie
CLOSE = 1e-4                              # of outputs and state
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def to_bfloat16(x: np.ndarray) -> np.ndarray:
    return torch.from_numpy(x).float().bfloat16().double().numpy()


ROUNDED: dict[str, Round] = {"float32": to_float32, "bfloat16": to_bfloat16}


def setting_of(point: OperatingPoint, geometry: Geometry, heads: int, blocks_per_page: int) -> Setting:
    return Setting(block=point.block_size, channels=geometry.head_dim, heads=heads, blocks_per_page=blocks_per_page,
                   rank=geometry.kv_lora_rank, topk_val=point.topk_val, topk_ratio=point.topk_ratio,
                   bos=point.block_reserved_bos, eos=point.block_reserved_eos)


@dataclass
class Duel:
    """`lens` tokens a request, prefilled in chunks; `grow` adds one token to each, `step` decodes with both and compares."""

    graph: Graph
    flow: Flow
    point: OperatingPoint
    lens: list[int]
    heads: int = 2
    blocks_per_page: int = 1
    room: int = 40                        # tokens each request may still grow by
    seed: int = 0
    selected: int = 0                     # rows that did not fit, over all steps
    compared: int = 0                     # states of blocks that were compared
    engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        geometry = self.graph.geometry
        setting = setting_of(self.point, geometry, self.heads, self.blocks_per_page)
        self.random = np.random.default_rng(self.seed)
        owned = [-(-(length + self.room) // setting.page) for length in self.lens]
        total = sum(owned) + 3
        pages = self.random.permutation(np.arange(1, total)).tolist()
        self.pages = [[pages.pop() for _ in range(count)] for count in owned]
        self.engine = Engine(self.flow, setting, total, ROUNDED[self.point.dtype])
        blocks, dtype = total * self.blocks_per_page, DTYPES[self.point.dtype]
        pool = (self.heads, blocks, setting.block, geometry.head_dim)
        self.pools = {name: torch.zeros(pool) for name in geometry.stored}
        self.fields = {f.name: torch.full((self.heads, blocks, f.rows, f.cols), 1e4, dtype=dtype) for f in self.graph.summaries}
        self.state = {f.name: torch.full((self.heads, blocks, f.rows, f.cols), 1e4, dtype=dtype) for f in self.graph.states}
        self.program = compile(self.graph, self.point)
        lens, self.lens = self.lens, [0] * len(self.lens)
        for request, length in enumerate(lens):
            for part in (length // 2, length - length // 2):
                self.write(request, part)

    @property
    def k(self) -> torch.Tensor:
        return self.pools.get("k", self.pools.get("latent"))

    @property
    def v(self) -> torch.Tensor:
        return self.pools.get("v", self.k)

    def slots(self, request: int, start: int, stop: int) -> list[int]:
        page = self.engine.setting.page
        return [self.pages[request][t // page] * page + t % page for t in range(start, stop)]

    def write(self, request: int, count: int) -> None:
        """`count` new tokens of a request into both pools; blocks that they complete are summarised."""
        size, width = self.engine.setting.block, self.graph.geometry.head_dim
        slots = self.slots(request, self.lens[request], self.lens[request] + count)
        self.lens[request] += count
        stored = {name: self.random.standard_normal((count, self.heads, width)).astype(np.float32) for name in self.pools}
        self.engine.write(slots, **{name: values.astype(np.float64) for name, values in stored.items()})
        for name, values in stored.items():
            for t, slot in enumerate(slots):
                self.pools[name][:, slot // size, slot % size] = torch.from_numpy(values[t])
        done = [slot // size for slot in slots if slot % size == size - 1]
        if done:
            self.program.update(self.fields, self.state, self.k, self.v, torch.tensor(done), LAYER)

    def grow(self) -> None:
        for request in range(len(self.lens)):
            self.write(request, 1)

    def plan(self) -> Plan:
        size = self.engine.setting.block
        counts = [-(-length // size) for length in self.lens]
        tables = torch.zeros(len(self.lens), max(counts), dtype=torch.int64)
        for request, length in enumerate(self.lens):
            ids = [slot // size for slot in self.slots(request, 0, length)[::size]]
            tables[request, :len(ids)] = torch.tensor(ids)
        return self.program.plan(self.lens, tables, list(range(len(self.lens))))

    def step(self) -> None:
        geometry, plan = self.graph.geometry, self.plan()
        q = self.random.standard_normal((len(self.lens), self.heads, geometry.group, geometry.head_dim)).astype(np.float32)
        queries, scale = torch.from_numpy(q), geometry.head_dim ** -0.5
        lists = self.program.select(plan, queries, self.k, self.v, self.fields, self.state, LAYER)
        out = self.program.attend(plan, queries, self.k, self.v, lists, scale)
        for request, length in enumerate(self.lens):
            slots = self.slots(request, 0, length)
            for head in range(self.heads):
                query = q[request, head].astype(np.float64)
                answer = self.engine.index(slots, head, query)
                self.selected += answer.score is not None
                taken = listed(lists, request, head)
                assert_same_blocks(taken, answer, (request, head, length))
                right = self.engine.attend(slots, head, query, taken, scale)
                np.testing.assert_allclose(out[request, head].numpy(), right, rtol=CLOSE, atol=CLOSE)
                self.compare_state(slots, head)

    def compare_state(self, slots: list[int], head: int) -> None:
        """State of the completed blocks but the first reserved ones, whose state nothing can see."""
        near, block = (1e-2 if self.point.dtype == "bfloat16" else CLOSE), self.point.block_size
        for name, pool in self.state.items():
            held = self.engine.fields.get(name)
            if held is None:
                continue
            for slot in slots[block - 1::block][self.point.block_reserved_bos:]:
                right = held[self.engine.block_id(slot, head)]
                ours = pool[head, slot // block].double().numpy()
                self.compared += 1
                size = max(1.0, float(np.abs(right).max()))
                np.testing.assert_allclose(ours, right, rtol=near, atol=near * size, err_msg=name)


def listed(lists: Lists, request: int, head: int) -> list[int]:
    found: list[int] = lists.index[request, head, :int(lists.counts[request, head])].tolist()
    return found


def assert_same_blocks(taken: list[int], answer: Answer, place: object) -> None:
    """The same blocks, but for such as the scores do not tell apart."""
    assert taken == sorted(set(taken)), place
    ours, theirs = set(taken) - set(answer.blocks), set(answer.blocks) - set(taken)
    assert len(ours) == len(theirs), (place, taken, answer.blocks)
    if ours:
        assert answer.score is not None, (place, taken, answer.blocks)
        scores = answer.score[sorted(ours | theirs)]
        size = max(float(np.abs(scores).max()), float(np.median(np.abs(answer.score))))
        assert float(scores.max() - scores.min()) <= NEAR * size, (place, sorted(ours), sorted(theirs), scores)
