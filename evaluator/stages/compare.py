"""The worker's side of numerics: runs the batch with the recorder on, then asks the reference about each selection."""
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import torch

from evaluator.stage import Answered, Problem
from evaluator.stages.rounding import exchanged_by_rounding
from vortex.compiler import reference
from vortex.config import OperatingPoint
from vortex.ir import Graph
from vortex.serving.engine import Engine, Request

_STRIDE = 4                  # without state a step does not depend on the one before, and every fourth is asked about
Event = Mapping[str, Any]


@dataclass
class Tally:
    """What the reference said of one request's selections."""

    compared: int = 0
    agreed: int = 0
    exchanged: int = 0       # agreed, but for blocks that the order of float operations exchanges
    first: str = ""
    seconds: float = 0.0

    def note(self, taken: Sequence[int], wanted: Sequence[int], explained: bool, place: str) -> None:
        """Counts one selection: the engine took the blocks `taken`, and the reference says `wanted`."""
        self.compared += 1
        if tuple(taken) == tuple(wanted) or explained:
            self.agreed += 1
            self.exchanged += tuple(taken) != tuple(wanted)
        elif not self.first:
            self.first = f"{place}: the engine attended {list(taken)}, the reference {list(wanted)}"


@dataclass
class Replay:
    """The reference beside one batch; what is right is carried from step to step by (request, layer, kv head)."""

    graph: Graph
    point: OperatingPoint
    slack: float
    tallies: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    outcomes: dict[tuple[str, int, int], reference.Outcome] = field(default_factory=dict)
    chosen: dict[tuple[str, int], tuple[int, ...]] = field(default_factory=dict)     # by the last layer that selected
    steps: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))

    def follow(self, event: Event) -> None:
        """One layer of one decode step of the batch."""
        layer = event["layer"]
        every = 1 if self.graph.states or self.point.renew_every > 1 else _STRIDE
        for index, request in enumerate(event["requests"]):
            step = self.steps[request, layer]
            self.steps[request, layer] += 1
            started = perf_counter()
            for head, taken in enumerate(event["lists"][index]):
                place = f"layer {layer}, kv head {head}, step {step} of {request}"
                if self.point.mode(layer) == "reuse":
                    self.tallies[request].note(taken, self.chosen[request, head], False, place)
                    continue
                self.chosen[request, head] = tuple(taken)
                if step % every == 0:
                    self._ask(event, index, head, taken, step, place)
            self.tallies[request].seconds += perf_counter() - started

    def _ask(self, event: Event, index: int, head: int, taken: Sequence[int], step: int, place: str) -> None:
        request, key = event["requests"][index], (event["requests"][index], event["layer"], head)
        row = reference.Row(q=event["q"][index][head].float().cpu(), k=event["k"][index][head].float().cpu(),
                            v=event["v"][index][head].float().cpu(), layer=event["layer"], head=head,
                            seed=event["seeds"][index], step=step)
        last = self.outcomes.get(key)
        right = reference.run(self.graph, self.point, row, last.state if last else None, last=last)
        fine = tuple(taken) == right.blocks or self._exchanged(request, row, last, right, taken)
        # Steps that keep these blocks keep the engine's, where they are as good.
        self.outcomes[key] = replace(right, blocks=tuple(taken)) if fine else right
        self.tallies[request].note(taken, right.blocks, fine, place)

    def _exchanged(self, request: str, row: reference.Row, last: reference.Outcome | None, right: reference.Outcome,
                   taken: Sequence[int]) -> bool:
        """No longer asked of a request that differs: the reference is slow, and one disagreement is one too many."""
        return not self.tallies[request].first and exchanged_by_rounding(self.graph, self.point, row, last, right, taken,
                                                                         self.slack)


def compare(engine: Engine, graph: Graph, point: OperatingPoint, problems: Sequence[Problem],
            tolerance: float) -> Iterator[Answered]:
    """Serves `problems` as one batch under `graph` and yields the tally of each, in order."""
    requests = [_request(engine, problem, seed) for seed, problem in enumerate(problems)]
    yield from compared(engine, graph, point, requests, tolerance)


def compared(engine: Engine, graph: Graph, point: OperatingPoint, requests: Sequence[Request],
             tolerance: float) -> Iterator[Answered]:
    """The same of requests that are written."""
    with engine.record("qkv") as recording:
        list(engine.generate(requests))
    rounding = torch.finfo(reference.ROUNDED_TO[point.dtype]).eps
    replay = Replay(graph, point, max(tolerance, rounding))
    for event in recording.events:
        if point.mode(event["layer"]) != "dense":
            replay.follow(event)
    for request in requests:
        tally = replay.tallies[request.id]
        data = {"compared": tally.compared, "agreed": tally.agreed, "exchanged": tally.exchanged, "first": tally.first}
        yield Answered(problem=request.id, seconds=tally.seconds, data=data)


def _request(engine: Engine, problem: Problem, seed: int) -> Request:
    tokens = engine.tokenizer.encode(problem.ask["prompt"])[:problem.ask["length"]]
    return Request(id=problem.id, tokens=tuple(tokens), max_new_tokens=problem.ask["steps"], seed=seed, ignore_eos=True)
