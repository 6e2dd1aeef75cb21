"""An archive with more in it than any prompt has room for: hundreds of candidates, long texts, many notes."""
from dataclasses import replace
from functools import cache

from agent.proposers.base import Parent, Round
from evaluator.report import Report, StageResult, Status
from search.candidate import Entry, FlowRecord, flow_record
from search.store.notes import KINDS, Note
from tests.search import made
from vortex import flows
from vortex.compiler.front import load
from vortex.config import OperatingPoint
from vortex.ir import Geometry

GEOMETRY = Geometry(16, 64, 2)
NAMES = ("quest", "centroid", "arkvale", "rocketkv", "value-energy", "infllm", "gqa-centroid", "masked-quest")
LONG = "Because the keys of a block stray from their mean along few channels, which the query weighs unevenly. " * 6


def entries(count: int = 300, words: str = LONG) -> tuple[Entry, ...]:
    """Dense, eight parents, and `count` children of theirs: a third measured, the rest failed for many reasons."""
    parents = [_with_flow(made.entry(2 + i, 0.6 + 0.02 * i, 3.0 - 0.1 * i), name, words) for i, name in enumerate(NAMES)]
    children = (_child(100 + i, i, words) for i in range(count))
    dense = made.dense()
    return (replace(dense, candidate=replace(dense.candidate, flow=_record("dense", ""))), *parents, *children)


def told_round(several: tuple[Entry, ...], number: int = 9) -> Round:
    """A round that is to build on all eight parents."""
    parents = []
    for entry in several[1:9]:
        graph = entry.candidate.flow.graph
        assert graph is not None
        parents.append(Parent(id=entry.candidate.id, name=entry.candidate.name, graph=graph, point=entry.candidate.point,
                              report=entry.report))
    return Round(number=number, parents=tuple(parents), seeds=(), geometry=GEOMETRY, point=OperatingPoint(topk_ratio=0.125),
                 knobs=(("topk_ratio", (0.0625, 0.125, 0.25)),))


def notes(count: int = 100, words: str = LONG) -> tuple[Note, ...]:
    return tuple(Note(id=i, kind=KINDS[i % len(KINDS)], text=f"{i} {words}", pinned=i % 9 == 0) for i in range(1, count + 1)
                 if KINDS[i % len(KINDS)] != "hypothesis")


def _with_flow(entry: Entry, name: str, words: str) -> Entry:
    """The entry as a built-in flow with a long comment."""
    record = _record(name, words)
    return replace(entry, candidate=replace(entry.candidate, name=f"{name} {words}", flow=record, hypothesis=words))


@cache
def _record(name: str, words: str) -> FlowRecord:
    _, text, path = flows.read(name)
    comment = "\n".join(f"# {words[:100]}" for _ in range(12))
    return flow_record(name, f"{text}\n{comment}\n", None if name == "dense" else load(text, path, GEOMETRY))


def _child(id: int, index: int, words: str) -> Entry:
    if index % 3 == 0:
        child = _with_flow(made.entry(id, 0.3 + 0.6 * (index % 100) / 100, 1.0 + (index % 37) / 10), NAMES[index % 8], words)
    else:
        child = _with_flow(made.entry(id, status=Status.REJECTED), "dense", words)
        refused = StageResult(stage="static", status=Status.REJECTED, code=f"Code{chr(65 + index % 20)}",
                              message=f"{words} {index}")
        child = replace(child, report=Report(results=(refused,)))
    parents = (2 + index % 8,) if index % 5 else ()
    return replace(child, candidate=replace(child.candidate, parents=parents, name=f"child {index} {words}"))
