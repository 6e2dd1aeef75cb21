"""The worker's side of numerics: runs the batch with the recorder on, then asks the reference about each selection."""
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import torch

from evaluator.stage import Answered, Problem
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
    exchanged: int = 0       # agreed, but for blocks whose scores differ by the order of float operations only
    first: str = ""
    seconds: float = 0.0

    def note(self, taken: Collection[int], right: reference.Outcome, slack: float, place: str) -> None:
        """Counts one selection: the engine took the blocks `taken`, and `right` is what the reference says."""
        self.compared += 1
        if tuple(taken) == right.blocks:
            self.agreed += 1
        elif explained(taken, right, slack):
            self.agreed += 1
            self.exchanged += 1
        elif not self.first:
            self.first = f"{place}: the engine attended {list(taken)}, the reference {list(right.blocks)}"


@dataclass
class Replay:
    """The reference beside one batch; state is carried from step to step by (request, layer, kv head)."""

    graph: Graph
    point: OperatingPoint
    slack: float
    tallies: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    states: dict[tuple[str, int, int], reference.Tensors] = field(default_factory=dict)
    steps: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))

    def follow(self, event: Event) -> None:
        """One layer of one decode step of the batch."""
        layer = event["layer"]
        for index, request in enumerate(event["requests"]):
            step = self.steps[request, layer]
            self.steps[request, layer] += 1
            if self.graph.states or step % _STRIDE == 0:
                started = perf_counter()
                for head, taken in enumerate(event["lists"][index]):
                    self._ask(event, index, head, taken, f"layer {layer}, kv head {head}, step {step} of {request}")
                self.tallies[request].seconds += perf_counter() - started

    def _ask(self, event: Event, index: int, head: int, taken: Sequence[int], place: str) -> None:
        request, key = event["requests"][index], (event["requests"][index], event["layer"], head)
        row = reference.Row(q=event["q"][index][head].float().cpu(), k=event["k"][index][head].float().cpu(),
                            v=event["v"][index][head].float().cpu(), layer=event["layer"], head=head,
                            seed=event["seeds"][index])
        right = reference.run(self.graph, self.point, row, self.states.get(key))
        self.states[key] = right.state
        self.tallies[request].note(taken, right, self.slack, place)


def compare(engine: Engine, graph: Graph, point: OperatingPoint, problems: Sequence[Problem],
            tolerance: float) -> Iterator[Answered]:
    """Serves `problems` as one batch under `graph` and yields the tally of each, in order."""
    requests = [_request(engine, problem, seed) for seed, problem in enumerate(problems)]
    with engine.record("qkv") as recording:
        list(engine.generate(requests))
    rounding = torch.finfo(reference.ROUNDED_TO[point.dtype]).eps
    replay = Replay(graph, point, max(tolerance, rounding))
    for event in recording.events:
        if event["layer"] not in point.layers_skip:
            replay.follow(event)
    for request in requests:
        tally = replay.tallies[request.id]
        data = {"compared": tally.compared, "agreed": tally.agreed, "exchanged": tally.exchanged, "first": tally.first}
        yield Answered(problem=request.id, seconds=tally.seconds, data=data)


def explained(taken: Collection[int], right: reference.Outcome, slack: float) -> bool:
    """True when blocks were exchanged only for others whose scores lie at the edge of what is taken, within `slack`.

    The edge is the least score that the reference took; `slack` is a share of it, or of the mean size of the scores
    where that is larger, for scores that cancel to near zero.
    """
    outside, inside = set(taken) - set(right.blocks), set(right.blocks) - set(taken)
    if right.score is None or len(outside) != len(inside) or max(outside | inside) >= len(right.score):
        return False
    edge = float(right.score[list(inside)].min())
    size = max(abs(edge), float(right.score.abs().mean()))
    return all(abs(float(right.score[block]) - edge) <= slack * size for block in outside | inside)


def _request(engine: Engine, problem: Problem, seed: int) -> Request:
    tokens = engine.tokenizer.encode(problem.ask["prompt"])[:problem.ask["length"]]
    return Request(id=problem.id, tokens=tuple(tokens), max_new_tokens=problem.ask["steps"], seed=seed, ignore_eos=True)
