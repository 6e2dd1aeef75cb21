"""The flows of the proxy study and what they score on the real tasks: built-in ones, and evolved ones of a fixed seed."""
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from machine import RESULTS, machine

from agent.proposers.base import Parent, Round
from agent.proposers.evolve import make_evolver
from evaluator.cluster import LocalCluster
from evaluator.funnel import Funnel, MemoryBook, Silent, Work
from evaluator.report import Row, Status
from evaluator.stage import Stage
from evaluator.stages import make_stage
from evaluator.traces.allowance import allowed_bytes, spend
from vortex import flows
from vortex.compiler.cost import Shape, cost
from vortex.compiler.front import load
from vortex.compiler.identity.form import identity
from vortex.config import OperatingPoint
from vortex.ir import Geometry, Graph
from vortex.serving.checkpoint import find_checkpoint

FILE = RESULTS / "flows.json.gz"
EQUAL = RESULTS / "flows_equal_bytes.json.gz"
CONTROL = "quest"                         # what it reads at the point is what others may read
POINT = OperatingPoint(model="probe", block_size=16, topk_ratio=0.125)
CONTEXT = 1024
SEED = 7
EVOLVED = 50
ORACLES = ("oracle", "oracle-peak")
SEEDS = ("centroid", "quest", "gqa-centroid", "masked-quest", "running-average", "value-energy", "arkvale", "infllm", "rocketkv",
         "lserve", "lserve-centroid")
STAGES: Mapping[str, Mapping[str, Any]] = {
    "static": {}, "numerics": {},
    "retrieval": {"tasks": ["multikey-1k-full", "multiquery-1k", "vt-1k-4hop"], "samples": 40, "timeout_s": 3600},
    "chain": {"tasks": ["chain-10-1k"], "samples": 40, "timeout_s": 3600},
}
SPEED: Mapping[str, Any] = {"batch": 8, "context": 8192, "steps": 4, "repeats": 10, "timeout_s": 3600}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One flow to be measured; `graph` None decodes densely. `origin`: control, oracle (reads all keys), built-in, evolved."""

    name: str
    origin: str
    graph: Graph | None
    point: OperatingPoint = POINT

    @property
    def hash(self) -> str:
        return "dense" if self.graph is None else self.graph.hash


def geometry() -> Geometry:
    return find_checkpoint(POINT.model, POINT.engine).shape.geometry(POINT.block_size)


def built_in() -> Iterator[Entry]:
    """Dense first, then controls, then the known algorithms, each at the point with what its own settings ask."""
    yield Entry(name="dense", origin="control", graph=None)
    for name in (*flows.CONTROLS[1:], *flows.ALGORITHMS, *flows.CALIBRATED):
        origin = "oracle" if name in ORACLES else "control" if name in flows.CONTROLS else "built-in"
        yield Entry(name=name, origin=origin, graph=read(name), point=POINT.with_(**flows.settings(flows.read(name)[2])))


def read(name: str) -> Graph:
    _, text, path = flows.read(name)
    return load(text, path, geometry())


def evolved(known: set[str]) -> Iterator[Entry]:
    """Without end: flows whose meaning is not in `known` (which grows), from built-in seeds and from those before them."""
    rng, evolver = Random(SEED), make_evolver({"turn": 0.0})
    seeds = tuple(Parent(name=name, graph=read(name), point=POINT) for name in SEEDS)
    made: list[Parent] = []
    for number in range(1, 10_000):
        round = Round(number=number, parents=tuple(made), seeds=seeds, geometry=geometry(), point=POINT)
        for proposal in evolver.propose(round, rng, 1):
            graph = load(proposal.source, f"<{proposal.name}>", round.geometry, parameters=proposal.parameters)
            if identity(graph) not in known:
                known.add(identity(graph))
                made.append(Parent(name=proposal.name, graph=graph, point=POINT, id=number))
                yield Entry(name=proposal.name, origin="evolved", graph=graph)


def measured(entry: Entry, stages: Sequence[Stage], cluster: LocalCluster) -> tuple[str, list[Row]]:
    """What stopped it (empty: nothing did), and the rows of the stages that score."""
    book = MemoryBook()
    work = Work(name=entry.name, source="", graph=entry.graph, point=entry.point, control=True)
    report = Funnel(stages, cluster).judge(work, book, Silent())
    failed = "" if report.status is Status.OK else f"{report.results[-1].stage}: {report.results[-1].message}"
    return failed, [row for row in book.kept if row.stage not in ("static", "numerics")]


def record(path: Path = FILE, wanted: int = EVOLVED) -> None:
    """Goes on where `path` stands: a flow that is in it is not measured again. The file is replaced after every flow."""
    body = read_file(path) if path.exists() else {"environment": machine(1), "point": POINT.model_dump(), "context": CONTEXT,
                                                  "stages": STAGES, "seed": SEED, "flows": [], "refused": []}
    stages = [make_stage(name, settings) for name, settings in STAGES.items()]
    cluster = LocalCluster()
    seen = {one["hash"] + one["name"] for one in (*body["flows"], *body["refused"])}
    for entry in planned(body, wanted):
        if entry.hash + entry.name in seen:
            continue
        failed, rows = measured(entry, stages, cluster)
        body["refused" if failed else "flows"].append(entry_json(entry, failed, rows))
        write(path, body)
        means = {stage: round(sum(r.score for r in rows if r.stage == stage) / max(1, sum(r.stage == stage for r in rows)), 3)
                 for stage in ("retrieval", "chain")}
        print(f"{len(body['flows']):3} {entry.origin:9} {entry.name[:60]:60} {failed[:80] or means}", flush=True)
    cluster.stop()


def record_speed(path: Path = FILE) -> None:
    """Adds `speeds` to each recorded flow: its repeats of the speed stage, as multiples of dense decode. On a quiet machine."""
    body, cluster = read_file(path), LocalCluster()
    stage = make_stage("speed", SPEED)
    for one in body["flows"]:
        if "speeds" in one:
            continue
        _, rows = measured(entry_of(one), [stage], cluster)
        one["speeds"] = [row.score for row in rows]
        write(path, {**body, "speed": SPEED})
        print(f"{one['name'][:60]:60} {median(one['speeds'] or [0]):.2f}x", flush=True)
    cluster.stop()


def record_equal(path: Path = EQUAL, source: Path = FILE) -> None:
    """The flows of `source` again, each with the budget at which it reads as many bytes as the control, its index counted."""
    recorded = read_file(source)
    body = read_file(path) if path.exists() else {**recorded, "environment": machine(1), "control": CONTROL, "flows": [],
                                                  "refused": []}
    stages = [make_stage(name, settings) for name, settings in STAGES.items() if name != "numerics"]
    cluster, seen = LocalCluster(), {one["hash"] + one["name"] for one in body["flows"]}
    for one in recorded["flows"]:
        if one["hash"] + one["name"] in seen:
            continue
        entry, share = at_equal_bytes(entry_of(one))
        failed, rows = measured(entry, stages, cluster)
        body["flows"].append({**entry_json(entry, failed, rows), "share_of_allowance": share})
        write(path, body)
        print(f"{len(body['flows']):3} {share:5.2f} of the bytes  {entry.name[:60]:60} {failed[:80]}", flush=True)
    cluster.stop()


def entry_of(one: Mapping[str, Any]) -> Entry:
    """A recorded flow, to be measured again."""
    return Entry(name=one["name"], origin=one["origin"], graph=graph_of(one), point=OperatingPoint(**one["point"]))


def at_equal_bytes(entry: Entry) -> tuple[Entry, float]:
    """The same at equal bytes, and its bytes as a share of the control's; dense stays as it is."""
    if entry.graph is None:
        return entry, 1.0
    model = find_checkpoint(POINT.model, POINT.engine).shape
    shape = Shape(context=CONTEXT, layers=model.layers, kv_heads=model.kv_heads)
    spent = spend(entry.graph, entry.point, shape, allowed_bytes(read(CONTROL), entry.point, shape))
    return replace(entry, point=spent.point), spent.share


def planned(body: Mapping[str, Any], wanted: int) -> Iterator[Entry]:
    """Built-in flows, then evolved ones until `wanted` were measured; what `body` holds grows meanwhile."""
    known = set()
    for entry in built_in():
        if entry.graph is not None:
            known.add(identity(entry.graph))
        yield entry
    drawn = evolved(known)
    names: set[str] = set()
    while sum(one["origin"] == "evolved" and one["hash"] + one["name"] in names for one in body["flows"]) < wanted:
        entry = next(drawn)
        names.add(entry.hash + entry.name)
        yield entry


def entry_json(entry: Entry, failed: str, rows: Sequence[Row]) -> dict[str, Any]:
    model = find_checkpoint(POINT.model, POINT.engine).shape
    priced = cost(entry.graph, entry.point, geometry(), Shape(context=CONTEXT, layers=model.layers, kv_heads=model.kv_heads))
    plain = {"name": entry.name, "origin": entry.origin, "hash": entry.hash, "point": entry.point.model_dump(),
             "graph": None if entry.graph is None else json.loads(entry.graph.to_json()),
             "bytes_per_step": priced.bytes_per_step, "index_bytes": priced.index_bytes}
    return {**plain, "refusal": failed} if failed else {**plain, "rows": [row_json(row) for row in rows]}


def row_json(row: Row) -> dict[str, Any]:
    return {"stage": row.stage, "problem": row.problem, "repeat": row.repeat, "score": row.score, "exact": row.exact,
            "tokens": row.data.get("tokens", 0), "finish": row.data.get("finish", "")}


def graph_of(one: Mapping[str, Any]) -> Graph | None:
    """The Graph of a recorded flow."""
    return None if one["graph"] is None else Graph.from_json(json.dumps(one["graph"]))


def read_file(path: Path = FILE) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    return found


def write(path: Path, body: Mapping[str, Any]) -> None:
    """Replaced in one move; the same content gives the same bytes."""
    part = path.with_suffix(".part")
    part.write_bytes(gzip.compress(json.dumps(body, separators=(",", ":")).encode(), mtime=0))
    part.replace(path)
