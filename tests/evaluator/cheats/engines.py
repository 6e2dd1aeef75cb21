"""What no flow can do and a broken kernel, or engine, might: Programs and engines that cheat, served to the real stages."""
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch

from vortex import flows
from vortex.compiler.cpu import CpuProgram
from vortex.compiler.front import load
from vortex.compiler.program import Lists, Plan, Program
from vortex.config import OperatingPoint
from vortex.ir import Geometry, Graph
from vortex.serving.embedded.engine import EmbeddedEngine
from vortex.serving.engine import Completion, Recorded, Recording, Request, StepTimes

POINT = OperatingPoint(topk_ratio=0.125)
Fields = Mapping[str, torch.Tensor]


def graph(name: str) -> Graph:
    _, text, path = flows.read(name)
    return load(text, path, Geometry(16, 64, 2))


class Stale(CpuProgram):
    """Summaries are written for the first blocks it sees; later ones stay what the memory held: not numbers."""

    def update(self, fields: Fields, state: Fields, k: torch.Tensor, v: torch.Tensor, done_blocks: torch.Tensor,
               layer: int = 0) -> None:
        super().update(fields, state, k, v, done_blocks, layer)
        for field in fields.values():
            field[:, done_blocks[len(done_blocks) // 2:]] = float("nan")


class Neighbour(CpuProgram):
    """Scores the blocks of the next request of the batch."""

    def select(self, plan: Plan, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, fields: Fields, state: Fields,
               layer: int) -> Lists:
        return super().select(self.plan(plan.lens, plan.tables.roll(1, 0), plan.seeds), q, k, v, fields, state, layer)


def compiled(kind: type[CpuProgram]) -> EmbeddedEngine:
    """An engine whose Programs are of this kind."""
    def compile(graph: Graph, point: OperatingPoint) -> Program:
        return kind(graph, point)

    return EmbeddedEngine(compiler=compile)


class Stubborn(EmbeddedEngine):
    """Serves recent blocks, whatever it is given."""

    def use(self, flow: Graph | None, point: OperatingPoint) -> None:
        super().use(graph("recent") if flow is not None else None, point)


class Secretive(EmbeddedEngine):
    """Tells nobody what it selects."""

    @contextmanager
    def record(self, what: Recorded) -> Iterator[Recording]:
        yield Recording()


class Sly(EmbeddedEngine):
    """Recognises the prompts that numerics asks about by their ids, and those it has learnt by heart."""

    known = "length/"

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        if not all(request.id.startswith(self.known) for request in requests):
            self.use(graph("recent"), POINT)
        return super().generate(requests)


class ByLength(EmbeddedEngine):
    """Behaves for prompts of the lengths that it was tried on."""

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        if any(len(request.tokens) > 400 for request in requests):
            self.use(graph("recent"), POINT)
        return super().generate(requests)


class FastClock(EmbeddedEngine):
    """Its clock stands nearly still while a flow runs."""

    step_s = 1e-6

    def use(self, flow: Graph | None, point: OperatingPoint) -> None:
        self.sparse = flow is not None
        super().use(flow, point)

    def forced_decode(self, batch: int, context: int, steps: int, *, seed: int = 0) -> StepTimes:
        found = super().forced_decode(batch, context, steps, seed=seed)
        return replace(found, seconds=(self.step_s,) * steps) if self.sparse else found


class StoppedClock(FastClock):
    step_s = 0.0


class Speaker(EmbeddedEngine):
    """Answers every request with the same words up to its limit."""

    words: str = ""

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        for request in requests:
            said = self.tokenizer.encode(self.words) or [0]
            tokens = tuple((said * request.max_new_tokens)[:request.max_new_tokens]) if self.words else ()
            yield Completion(id=request.id, tokens=tokens, finish="length" if self.words else "stop", prefill_s=0.1, decode_s=0.1)


class Rambler(Speaker):
    """Says two words for ever: throughput counted in tokens would praise it."""

    words = "dara 1"


class Silent(Speaker):
    """Ends each answer before it begins."""
