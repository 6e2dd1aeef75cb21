"""Timing of decode at a fixed shape: the context is filled with random KV, so that no prefill is paid for."""
import time
from dataclasses import dataclass

import torch

from vortex.compiler.program import Program
from vortex.serving.embedded.batch import Batch
from vortex.serving.embedded.pool import Furnishing, Pool, PoolShape
from vortex.serving.embedded.runner import Runner
from vortex.serving.engine import StepTimes
from vortex.serving.recording import Recorder

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
    """A pool whose requests stand side by side, every token of their context drawn at random; keeps the summaries of the
    last `flows` flows."""

    def __init__(self, shape: ForcedShape, pool: PoolShape, flows: int = 1) -> None:
        self.shape = shape
        self.pool = Pool(pool, flows)
        generator = torch.Generator(device=pool.device).manual_seed(shape.seed)
        for tensor in (*self.pool.k, *self.pool.v):
            tensor.normal_(generator=generator)

    @torch.inference_mode()
    def summarise(self, wanted: Furnishing, program: Program) -> None:
        """Summaries of all completed blocks, and state at its first value."""
        if self.pool.furnish(wanted):
            self.pool.reset_state(wanted.graph)
            return
        completed = torch.arange(self.shape.context // self.pool.shape.block_size)
        starts = torch.arange(self.shape.batch)[:, None] * self.shape.blocks(self.pool.shape.block_size) + 1
        done = (starts + completed).flatten().to(self.pool.shape.device)
        pool = self.pool
        for layer in sorted(wanted.layers):
            program.update(pool.fields[layer], pool.state[layer], pool.k[layer], pool.v[layer], done, layer)

    def time_steps(self, runner: Runner, steps: int, recorder: Recorder | None = None) -> StepTimes:
        """Seconds of each of `steps` whole greedy decode steps: planning, the forward pass, the choice of tokens.

        A step ends when its tokens are on the host. On a GPU it is a replayed graph, captured before the clock runs.
        """
        shape, per_request = self.shape, self.shape.blocks(self.pool.shape.block_size)
        blocks = [range(1 + row * per_request, 1 + (row + 1) * per_request) for row in range(shape.batch)]
        batch = Batch([str(row) for row in range(shape.batch)], [shape.seed + row for row in range(shape.batch)],
                      blocks, [shape.context + 1] * shape.batch, self.pool.shape.device)
        tokens, seconds = [FIRST_TOKEN] * shape.batch, []
        for length in (shape.context + 1, shape.context + steps):
            runner.warm([length] * shape.batch)
        for step in range(steps):
            began = time.perf_counter()
            tokens = runner.decode(batch, tokens, [shape.context + 1 + step] * shape.batch, recorder).tokens.tolist()
            seconds.append(time.perf_counter() - began)
        return StepTimes(batch=shape.batch, context=shape.context, seconds=tuple(seconds))
