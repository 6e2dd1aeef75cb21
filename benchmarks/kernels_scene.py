"""One layer's decode step at a model's shape: several copies of its data, so that no call finds its own in the cache."""
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from vortex.budget import num_blocks
from vortex.compiler.cpu import dense_graph
from vortex.compiler.front import load
from vortex.compiler.kernels.plan import KernelPlan
from vortex.compiler.kernels.program import TritonProgram
from vortex.compiler.kernels.workspace import Worklist
from vortex.compiler.program import Lists
from vortex.compiler.shapes import ModelSizes
from vortex.config import OperatingPoint
from vortex.flows import read, settings
from vortex.ir import Graph

LAYER = 3
FEATURED = [(16, 32768), (1, 131072), (128, 16384), (1, 4096)]   # batch, context: what targets speak of; timed first
COLD = 4                                  # times the size of the L2 cache that all copies read together
MOST_COPIES = 64
Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Size:
    """What memory allows: bytes for all copies of keys and values, and the cache they must not fit."""

    memory: int
    cache: int
    dtype: torch.dtype
    device: str


def size_of_device() -> Size:
    properties = torch.cuda.get_device_properties(0)
    return Size(memory=int(0.6 * properties.total_memory), cache=properties.L2_cache_size, dtype=torch.bfloat16, device="cuda")


@dataclass(frozen=True)
class Copy:
    """A layer's query, pools and summaries."""

    q: torch.Tensor                       # [B, H, G, D]
    k: torch.Tensor                       # [H, P, S, D]
    v: torch.Tensor


@dataclass(frozen=True)
class Data:
    """Keys and values of `batch` requests of `context` tokens each, in blocks that lie scattered over the pool."""

    model: ModelSizes
    batch: int
    context: int
    point: OperatingPoint
    copies: tuple[Copy, ...]
    tables: torch.Tensor                  # int32 [B, N]

    @property
    def blocks(self) -> int:
        return self.tables.shape[1]

    @property
    def scale(self) -> float:
        return float(self.model.head_dim ** -0.5)


def token_bytes(model: ModelSizes, dtype: torch.dtype) -> int:
    """Of one layer."""
    return 2 * model.kv_heads * model.head_dim * dtype.itemsize


def fits(model: ModelSizes, batch: int, context: int, size: Size) -> bool:
    return batch * context * token_bytes(model, size.dtype) <= size.memory


def make_data(model: ModelSizes, batch: int, context: int, point: OperatingPoint, size: Size) -> Data:
    """As many copies as keep a sparse read out of the cache, where memory holds them."""
    whole = batch * context * token_bytes(model, size.dtype)
    listed = batch * min(context, point.block_size * attended_blocks(point)) * token_bytes(model, size.dtype)
    count = max(1, min(MOST_COPIES, -(-COLD * size.cache // listed), size.memory // whole)) if size.cache else 1
    blocks, group = num_blocks(context, point.block_size), model.heads // model.kv_heads
    made = torch.Generator(size.device).manual_seed(batch * context)

    def numbers(*shape: int) -> torch.Tensor:
        return torch.empty(shape, dtype=size.dtype, device=size.device).normal_(generator=made)

    pool = (model.kv_heads, batch * blocks, point.block_size, model.head_dim)
    copies = tuple(Copy(q=numbers(batch, model.kv_heads, group, model.head_dim), k=numbers(*pool), v=numbers(*pool))
                   for _ in range(count))
    order = torch.randperm(batch * blocks, generator=made, device=size.device).to(torch.int32)
    return Data(model, batch, context, point, copies, order.view(batch, blocks))


def attended_blocks(point: OperatingPoint) -> int:
    return point.topk_val + point.block_reserved_bos + point.block_reserved_eos


def flow_graph(name: str, model: ModelSizes, point: OperatingPoint) -> Graph:
    _, text, path = read(name)
    return load(text, path, model.geometry(point.block_size))


def flow_point(name: str, point: OperatingPoint) -> OperatingPoint:
    """With what the flow asks of the point."""
    return point.with_(**settings(read(name)[2]))


class Scene:
    """A flow, or dense attention (None), at work on Data: the calls that are timed. All of them can be captured."""

    def __init__(self, data: Data, name: str | None, lens: Sequence[int] | None = None) -> None:
        self.data = data
        self.graph = dense_graph(data.model.geometry(data.point.block_size)) if name is None else \
            flow_graph(name, data.model, data.point)
        device = data.tables.device
        self.program = TritonProgram(self.graph, data.point if name is None else flow_point(name, data.point), device.type)
        self.plan: KernelPlan = self.program.prepare(requests=data.batch, heads=data.model.kv_heads, blocks=data.blocks,
                                                     device=device)
        self.plan.inputs.tables[:, :data.blocks] = data.tables
        self.at(lens or [data.context] * data.batch)
        self.pools = [self._pools(copy) for copy in data.copies]
        done = torch.arange(data.batch * data.blocks, device=device)
        for at in range(len(data.copies)):
            self.update(at, done)
        self.lists = self.select(0)                           # makes the worklist; views of it from now on
        # In this step every request completes a block; in the usual one, one of block_size requests does.
        self.worst = data.tables[:, -1].long()
        self.usual = self.worst.where(torch.arange(data.batch, device=device) % data.point.block_size == 0, -1)

    def at(self, lens: Sequence[int]) -> None:
        """From the next planning on requests are so long."""
        self.plan.inputs.lens.copy_(torch.tensor(lens, dtype=torch.int32))

    def _pools(self, copy: Copy) -> tuple[Tensors, Tensors]:
        heads, blocks = copy.k.shape[:2]
        fields, state = ({f.name: torch.zeros(heads, blocks, f.rows, f.cols, dtype=self.program.field_dtype(f.name),
                                              device=copy.k.device) for f in found}
                         for found in (self.graph.summaries, self.graph.states))
        return fields, state

    def update(self, at: int, done: torch.Tensor) -> None:
        copy, (fields, state) = self.data.copies[at], self.pools[at]
        self.program.update(fields, state, copy.k, copy.v, done, LAYER)

    def begin(self) -> None:
        self.program.begin(self.plan)

    def select(self, at: int) -> Lists:
        copy, (fields, state) = self.data.copies[at], self.pools[at]
        return self.program.select(self.plan, copy.q, copy.k, copy.v, fields, state, LAYER)

    def select_by(self, *, fused: bool) -> Callable[[int], Lists]:
        """`select` of a program that scores and selects in one launch, or in two."""
        program = TritonProgram(self.graph, self.program.point, self.data.tables.device.type, fused=fused)

        def select(at: int) -> Lists:
            copy, (fields, state) = self.data.copies[at], self.pools[at]
            return program.select(self.plan, copy.q, copy.k, copy.v, fields, state, LAYER)
        return select

    @property
    def work(self) -> Worklist:
        planned, = self.plan.planned.values()
        return planned.worklist

    def attend(self, at: int, lists: Lists | None) -> torch.Tensor:
        copy = self.data.copies[at]
        return self.program.attend(self.plan, copy.q, copy.k, copy.v, lists, self.data.scale)

    def block(self, at: int) -> torch.Tensor:
        """All that a layer adds to a step, the plan that layers share charged to this one."""
        self.begin()
        self.update(at, self.usual)
        return self.attend(at, self.select(at))
