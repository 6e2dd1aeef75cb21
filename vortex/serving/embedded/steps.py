"""The static decode step: every tensor at a fixed address, so that one captured graph serves all steps of a batch size.

The host writes five numbers a request, replays, and reads the tokens. What a captured step cannot do is left to the steps
that Runner makes anew: lists that are kept for several steps (renew_every), and recordings.
"""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from transformers import PreTrainedModel

from vortex.compiler.kernels.workspace import Arena, Inputs
from vortex.compiler.program import Lists
from vortex.language.ops.noise import wrapped
from vortex.serving.embedded.attention import forward, write_tokens
from vortex.serving.embedded.batch import Batch
from vortex.serving.embedded.graphed import Answer, Graphs, Work, answer
from vortex.serving.embedded.pool import Pool
from vortex.serving.layers import Layers

Fields: TypeAlias = Mapping[str, torch.Tensor]
FEW = 8                                   # up to here sizes are powers of two, from here on multiples of this
ABSENT = (0, 0, 0, -1)                    # token, length, slot and completed block of a request that is not there
LEAST_BLOCKS = 64


class FixedPlan(Protocol):
    """What a Program keeps at fixed addresses for steps of one size; a request of length 0 is not there."""

    @property
    def inputs(self) -> Inputs: ...


@runtime_checkable
class FixedProgram(Protocol):
    """A Program whose steps can be captured: nothing is allocated by value, nothing waits for the host.

    Shapes are those of vortex.compiler.program.Program. `select` gives the same tensors every time; rows that fit are
    listed whole.
    """

    def field_dtype(self, name: str) -> torch.dtype: ...

    def prepare(self, *, requests: int, heads: int, blocks: int, device: torch.device,
                arena: Arena | None = None) -> FixedPlan:
        """In an `arena` plans share what no two steps need at once."""

    def begin(self, plan: FixedPlan) -> None:
        """Plans the step from the plan's inputs, on the device."""

    def update(self, fields: Fields, state: Fields, k: torch.Tensor, v: torch.Tensor, done_blocks: torch.Tensor,
               layer: int = 0) -> None:
        """As Program.update; ids below 0 are nobody's."""

    def select(self, plan: FixedPlan, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, fields: Fields, state: Fields,
               layer: int) -> Lists: ...

    def attend(self, plan: FixedPlan, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, lists: Lists | None,
               scale: float) -> torch.Tensor: ...


def fixed(program: object) -> FixedProgram | None:
    """The same Program, if its steps can be captured."""
    return program if isinstance(program, FixedProgram) else None


def replayable(model: PreTrainedModel) -> bool:
    """Does a step of the model depend on the positions through its tensors alone? Some rotary embeddings look at them."""
    kind = str((getattr(model.config, "rope_parameters", None) or {}).get("rope_type", "default"))
    return kind != "longrope" and "dynamic" not in kind


def size_for(requests: int, most: int) -> int:
    """The captured size that serves so many: 1, 2, 4, 8, 16, 24, 32 ... and `most` itself."""
    rounded = 1 << (requests - 1).bit_length() if requests <= FEW else -(-requests // FEW) * FEW
    return max(requests, min(most, rounded))


def width_for(blocks: int) -> int:
    """Columns of the tables that serve requests of so many blocks: of few sizes, and seldom a quarter too many."""
    step = max(LEAST_BLOCKS, (1 << (blocks - 1).bit_length()) // FEW)
    return -(-blocks // step) * step


@dataclass(kw_only=True)
class StaticStep:
    """The Step that is captured; `dense` attends everything and still summarises what completes."""

    pool: Pool
    program: FixedProgram
    layers: Layers
    plan: FixedPlan
    slots: torch.Tensor                   # int64 [B]
    done: torch.Tensor                    # int64 [B], -1: none
    dense: bool
    _selected: Lists | None = None        # by the last layer that selects

    def attend(self, layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
        pool_k, pool_v = self.pool.k[layer], self.pool.v[layer]
        write_tokens(pool_k, self.slots, k)
        write_tokens(pool_v, self.slots, v)
        batch, heads = k.shape[:2]
        rows = q.reshape(batch, heads, -1, q.shape[3]).contiguous()
        lists = self._lists(layer, rows)
        return self.program.attend(self.plan, rows, pool_k, pool_v, lists, scale).reshape(batch, 1, -1, q.shape[3])

    def _lists(self, layer: int, q: torch.Tensor) -> Lists | None:
        if layer in self.layers.select:
            k, v, fields, state = self.pool.k[layer], self.pool.v[layer], self.pool.fields[layer], self.pool.state[layer]
            self.program.update(fields, state, k, v, self.done, layer)
            self._selected = None if self.dense else self.program.select(self.plan, q, k, v, fields, state, layer)
            return self._selected
        return self._selected if layer in self.layers.reuse else None


@dataclass(frozen=True, kw_only=True)
class StaticModel:
    """All that a step needs beside the batch; `dense_below`: steps whose longest context is shorter attend densely."""

    model: PreTrainedModel
    pool: Pool
    program: FixedProgram
    layers: Layers
    blocks: int                           # N: columns of the tables
    dense_below: int

    def dense(self, lens: Sequence[int]) -> bool:
        return not self.layers.select or max(lens) < self.dense_below


class SizedStep:
    """Steps of one batch size: its fixed tensors, and how they are repeated, sparse and dense."""

    def __init__(self, requests: int, what: StaticModel, graphs: Graphs) -> None:
        device = what.pool.shape.device
        self._what, self._graphs, self._requests = what, graphs, requests
        absent = torch.tensor(ABSENT)[:, None].repeat(1, requests)
        self._host = absent.pin_memory() if device.type == "cuda" else absent
        self._tokens, self._lens, self._slots, self._done = self._written = absent.to(device, copy=True)
        self._plan = what.program.prepare(requests=requests, heads=what.pool.shape.kv_heads, blocks=what.blocks, device=device)
        self._company: Batch | None = None
        self._works: dict[bool, Work] = {}

    def ready(self, dense: bool) -> Work:
        """Captured when first asked for, while nobody is there: what it writes goes to block 0."""
        if dense not in self._works:
            self._leave()
            self._works[dense] = self._graphs.capture(lambda: self._work(dense))
        return self._works[dense]

    def decode(self, batch: Batch, tokens: Sequence[int], lens: Sequence[int]) -> Answer:
        size, count = self._what.pool.shape.block_size, len(lens)
        work = self.ready(self._what.dense(lens))
        if self._company is not batch:
            self._seat(batch)
        # The step before has been read, so that its copy is over and the host's numbers may change.
        self._host[:, :count] = torch.tensor([tokens, lens, batch.slots(lens, size), batch.completed(lens, size)])
        self._written.copy_(self._host, non_blocking=True)
        found = work()
        return Answer(found.logits[:count], found.tokens[:count])

    def _work(self, dense: bool) -> Answer:
        what, plan = self._what, self._plan
        plan.inputs.lens.copy_(self._lens)
        what.program.begin(plan)
        step = StaticStep(pool=what.pool, program=what.program, layers=what.layers, plan=plan, slots=self._slots,
                          done=self._done, dense=dense)
        return answer(forward(what.model, self._tokens[:, None], (self._lens - 1).clamp_min(0)[:, None], step))

    def _seat(self, batch: Batch) -> None:
        """What holds until the company changes."""
        self._leave()
        count, width = batch.whole.shape
        inputs = self._plan.inputs
        inputs.tables[:count, :width] = batch.whole
        inputs.seeds[:count] = torch.tensor([wrapped(seed) for seed in batch.seeds])
        self._company = batch

    def _leave(self) -> None:
        self._company = None
        self._plan.inputs.tables.zero_()
        self._plan.inputs.seeds.zero_()
        self._host.copy_(torch.tensor(ABSENT)[:, None])
        self._written.copy_(self._host)


@dataclass
class StaticSteps:
    """Decode steps of one flow on one pool, whatever the batch. `most`: the largest batch that is expected."""

    what: StaticModel
    graphs: Graphs
    most: int
    _sized: dict[int, SizedStep] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._fields, self._state = self.what.pool.fields, self.what.pool.state

    def serves(self, pool: Pool, blocks: int, batch: int) -> bool:
        """Are these the tensors that steps of so many requests, of so many blocks, go by?"""
        furnished = not self.what.layers.select or (pool.fields is self._fields and pool.state is self._state)
        return furnished and pool is self.what.pool and blocks <= self.what.blocks and batch == self.most

    @torch.inference_mode()
    def warm(self, lens: Sequence[int]) -> None:
        """Captures what steps at `lens` use."""
        self._step(len(lens)).ready(self.what.dense(lens))

    @torch.inference_mode()
    def decode(self, batch: Batch, tokens: Sequence[int], lens: Sequence[int]) -> Answer:
        """One more token a request; `lens` count it. What is returned holds until the next step."""
        return self._step(len(lens)).decode(batch, tokens, lens)

    def _step(self, requests: int) -> SizedStep:
        size = size_for(requests, self.most)
        if size not in self._sized:
            self._sized[size] = SizedStep(size, self.what, self.graphs)
        return self._sized[size]
