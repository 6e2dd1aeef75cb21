"""Timing of decode at a fixed shape: the context is filled with random KV, so that no prefill is paid for."""
import time
from dataclasses import dataclass

import torch

from vortex.compiler.program import Program
from vortex.config import OperatingPoint
from vortex.ir import Graph
from vortex.language.parameters import without_data
from vortex.serving.embedded.pool import Pool, PoolShape
from vortex.serving.embedded.runner import Batch, Runner
from vortex.serving.engine import StepTimes

FIRST_TOKEN = 0


@dataclass(frozen=True, kw_only=True)
class ForcedShape:
    """`context` tokens each are there; `room` more may be decoded."""

    batch: int
    context: int
    room: int
    seed: int

    def blocks(self, block_size: int) -> int:
        """Of one request."""
        return -(-(self.context + self.room) // block_size)


class ForcedContext:
    """A pool whose requests stand side by side, every token of their context drawn at random."""

    def __init__(self, shape: ForcedShape, pool: PoolShape) -> None:
        self.shape = shape
        self.pool = Pool(pool)
        generator = torch.Generator(device=pool.device).manual_seed(shape.seed)
        for tensor in (*self.pool.k, *self.pool.v):
            tensor.normal_(generator=generator)
        self._summarised: tuple[str, str, frozenset[int]] | None = None

    @torch.inference_mode()
    def summarise(self, graph: Graph, point: OperatingPoint, program: Program, sparse: frozenset[int]) -> None:
        """Summaries of all completed blocks, and state at its first value; the last flow's summaries are kept."""
        key = (without_data(graph).to_json(), point.dtype, sparse)
        if self._summarised == key:
            self.pool.reset_state(graph)
            return
        self.pool.furnish(graph, point, sparse)
        completed = torch.arange(self.shape.context // self.pool.shape.block_size)
        starts = torch.arange(self.shape.batch)[:, None] * self.shape.blocks(self.pool.shape.block_size) + 1
        done = (starts + completed).flatten().to(self.pool.shape.device)
        pool = self.pool
        for layer in sorted(sparse):
            program.update(pool.fields[layer], pool.state[layer], pool.k[layer], pool.v[layer], done, layer)
        self._summarised = key

    def time_steps(self, runner: Runner, steps: int) -> StepTimes:
        """Seconds of each of `steps` whole greedy decode steps: planning, the forward pass, the choice of tokens."""
        shape, per_request = self.shape, self.shape.blocks(self.pool.shape.block_size)
        blocks = [range(1 + row * per_request, 1 + (row + 1) * per_request) for row in range(shape.batch)]
        batch = Batch([str(row) for row in range(shape.batch)], [shape.seed + row for row in range(shape.batch)],
                      blocks, [shape.context + 1] * shape.batch, self.pool.shape.device)
        tokens, seconds = [FIRST_TOKEN] * shape.batch, []
        for step in range(steps):
            began = time.perf_counter()
            logits = runner.decode(batch, tokens, [shape.context + 1 + step] * shape.batch)
            tokens = logits.argmax(dim=-1).tolist()
            seconds.append(time.perf_counter() - began)
        return StepTimes(batch=shape.batch, context=shape.context, seconds=tuple(seconds))
