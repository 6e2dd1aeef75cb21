"""Entries with parents, flows and figures, for what learns from them; and an archive that holds such candidates."""
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from evaluator import statistics
from evaluator.report import Report, Row, StageResult, Status
from search.candidate import Candidate, Draft, Entry, FlowRecord, flow_record
from search.store.archive import Archive, open_archive
from tests.search.made import entry
from vortex import flows
from vortex.compiler.front import load
from vortex.config import OperatingPoint
from vortex.ir import Geometry

PROBLEMS = 200
CENTROID = flows.read("centroid")[1]
WITH_ABS = CENTROID.replace('cache["k"].mean(dim=1)', 'cache["k"].abs().mean(dim=1)')
WITH_RELU = CENTROID.replace('cache["k"].mean(dim=1)', 'cache["k"].relu().mean(dim=1)')


def flow(text: str = CENTROID, mark: str = "") -> FlowRecord:
    """The flow's record; `mark` makes one that counts as another of the same ops."""
    found = flow_record("made", text, load(text, "made.py", Geometry(16, 64, 2)))
    return replace(found, hash=f"{found.hash}{mark}")


def rows(solved: int, speed: float, spread: float = 0.005) -> tuple[Row, ...]:
    """The first `solved` of PROBLEMS problems are, so that what is solved by fewer is solved by more; five repeats."""
    answers = [Row(stage="retrieval", problem=f"multikey-1k-full/7/{i}", score=float(i < solved)) for i in range(PROBLEMS)]
    return (*answers, *(Row(stage="speed", problem="b8-c8192", repeat=r, score=speed * (1 + spread * (r - 2)))
                        for r in range(5)))


def idea(id: int, solved: int = 100, speed: float = 2.0, *, text: str = CENTROID, parents: Sequence[int] = (2,),
         hypothesis: str = "It may help.", round: int = 1, share: float = 0.125) -> Entry:
    """A measured candidate."""
    made = entry(id, solved / PROBLEMS, speed, round=round, share=share)
    found = rows(solved, speed)
    by_stage = {"retrieval": found[:PROBLEMS], "speed": found[PROBLEMS:]}
    results = [replace(made.report.results[0], metrics={"retrieval": statistics.accuracy(by_stage)}),
               replace(made.report.results[1], metrics={"speed": statistics.speed(by_stage)})]
    candidate = replace(made.candidate, flow=flow(text, str(id)), parents=tuple(parents), hypothesis=hypothesis)
    return Entry(candidate=candidate, report=Report(results=tuple(results)), rows=found)


def control(id: int = 2, solved: int = 100, speed: float = 2.0) -> Entry:
    made = idea(id, solved, speed, parents=(), round=0)
    return replace(made, candidate=replace(made.candidate, tier="control", name="centroid"))


def failed(id: int, *, text: str = WITH_ABS, stage: str = "numerics", code: str = "differs", message: str = "0.3 of 1",
           status: Status = Status.NUMERICS, round: int = 1, graph: bool = True) -> Entry:
    """A candidate that ended at a stage; without a Graph where its text is no flow."""
    made = idea(id, text=text, round=round)
    record = made.candidate.flow if graph else flow_record("made", f"{text}# {id}", None)
    return Entry(candidate=replace(made.candidate, status=status, flow=record),
                 report=Report(results=(StageResult(stage=stage, status=status, code=code, message=message),)))


def archive_of(folder: Path, entries: Sequence[Entry]) -> tuple[Archive, dict[int, Candidate]]:
    """An archive with these candidates, judged; the second value finds them by the id that they were made with."""
    archive, found = open_archive(folder / "made.db"), dict[int, Candidate]()
    if archive.campaign("made") is None:
        archive.create_campaign("made", "", {}, 1)
    for slot, one in enumerate(entries):
        found[one.candidate.id] = enter(archive, one, slot, found)
    return archive, found


def enter(archive: Archive, one: Entry, slot: int, known: dict[int, Candidate]) -> Candidate:
    made = one.candidate
    parents = tuple(known[id].id for id in made.parents if id in known)
    candidate = archive.add_candidate(Draft(
        campaign="made", round=made.round, slot=slot, name=made.name, flow=made.flow, author=made.author, tier=made.tier,
        point=OperatingPoint(topk_ratio=made.point.topk_ratio), hypothesis=made.hypothesis, parents=parents))
    book = archive.book(candidate)
    for row in one.rows:
        book.add(row)
    for result in one.report.results:
        book.close(result)
    return archive.finish(candidate, made.status or Status.OK)
