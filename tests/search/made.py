"""Entries made from figures: rows of a candidate that answers with a given accuracy and decodes at a given speed."""
import struct
from random import Random

from evaluator import statistics
from evaluator.report import Report, Row, StageResult, Status
from search.candidate import Candidate, Entry, FlowRecord, Tier
from vortex import flows
from vortex.compiler.front import load
from vortex.config import OperatingPoint
from vortex.ir import Geometry, Graph, Parameter
from vortex.language.parameters import digest_of

PROBLEMS = 40


def rows(accuracy: float, speed: float, seed: int = 0, noise: float = 0.01) -> tuple[Row, ...]:
    """Problems are solved from the first on, so that two candidates fail on the same hard ones."""
    rng = Random(seed)
    solved = round(accuracy * PROBLEMS)
    answers = [Row(stage="retrieval", problem=f"multikey-1k-full/7/{i}", score=float(i < solved))
               for i in range(PROBLEMS)]
    steps = [Row(stage="speed", problem="b8-c8192", repeat=r, score=speed * (1 + noise * rng.uniform(-1, 1)))
             for r in range(5)]
    return (*answers, *steps)


def entry(id: int, accuracy: float = 0.5, speed: float = 2.0, *, tier: Tier = "provisional", name: str = "",
          status: Status | None = Status.OK, round: int = 1, share: float = 0.125) -> Entry:
    """A candidate that ended `status`; rows and figures only where that is ok."""
    flow = FlowRecord(hash=f"{id:032x}", name=name or f"flow {id}", source="# source", graph_json="{}")
    candidate = Candidate(id=id, campaign="made", round=round, slot=id, name=name or f"flow {id}", flow=flow, tier=tier,
                          point=OperatingPoint(topk_ratio=share), author="evolve", status=status)
    if status is not Status.OK:
        results = (StageResult(stage="static", status=Status.OK),
                   StageResult(stage="retrieval", status=status, code="below-gate", message="0.31 of 0.85"))
        return Entry(candidate=candidate, report=Report(results=results if status else results[:1]))
    made = rows(accuracy, speed, id)
    by_stage = {"retrieval": made[:PROBLEMS], "speed": made[PROBLEMS:]}
    results = (StageResult(stage="retrieval", status=Status.OK, metrics={"retrieval": statistics.accuracy(by_stage)}),
               StageResult(stage="speed", status=Status.OK, metrics={"speed": statistics.speed(by_stage)},
                           facts={"context": [8192], "bytes_per_step": 1000 * share, "batch": 8}))
    return Entry(candidate=candidate, report=Report(results=results), rows=made)


def dense(id: int = 1, accuracy: float = 0.95) -> Entry:
    return entry(id, accuracy, 1.0, tier="control", name="dense", round=0)


WEIGHED = '''"""The mean key, channels weighed by a parameter."""
from vortex import ops, register, vFlow


@register("weighed")
class Weighed(vFlow):
    def forward_cache(self, cache):
        cache["mean"] = cache["k"].mean(dim=1)

    def forward_indexer(self, q, cache):
        weight = ops.param("w.safetensors", "it's")
        return ops.topk((q * weight @ cache["mean"].T).max(dim=1))
'''


def parameter(factor: float = 1.0, head_dim: int = 32) -> Parameter:
    data = struct.pack(f"<{head_dim}f", *(factor * i for i in range(head_dim)))
    return Parameter("w.safetensors", "it's", (1, head_dim), digest_of((1, head_dim), data), data)


def weighed(factor: float = 1.0) -> Graph:
    """A flow that reads a parameter."""
    return load(WEIGHED, "weighed.py", Geometry(16, 32, 2), parameters=(parameter(factor),))


def graph() -> Graph:
    """A built-in flow's."""
    _, source, path = flows.read("centroid")
    return load(source, str(path), Geometry(16, 32, 2))
