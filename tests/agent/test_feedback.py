"""What a round is told of the archive: figures of finished rounds, why things failed, and what memory recalls."""
from dataclasses import replace

import pytest

from agent import feedback
from agent.feedback import gather
from agent.proposers.base import Parent, Round
from evaluator.report import Report, StageResult, Status
from search.candidate import Entry
from search.frontier import Place, frontier
from search.store.notes import Note
from tests.agent import crowded
from tests.search import made
from vortex.config import OperatingPoint
from vortex.ir import Geometry


def told_round(*parents: Parent, number: int = 2, **changes: object) -> Round:
    values = {"number": number, "parents": parents, "seeds": (), "geometry": crowded.GEOMETRY,
              "point": OperatingPoint(topk_ratio=0.125), **changes}
    return Round(**values)  # type: ignore[arg-type]  (the values of a Round by name)


def parent(entry: Entry) -> Parent:
    graph = entry.candidate.flow.graph
    assert graph is not None
    return Parent(id=entry.candidate.id, name=entry.candidate.name, graph=graph, point=entry.candidate.point)


def failing(id: int, stage: str, code: str, message: str, parents: tuple[int, ...] = ()) -> Entry:
    entry = made.entry(id, status=Status.REJECTED)
    report = Report(results=(StageResult(stage=stage, status=Status.REJECTED, code=code, message=message),))
    flow = replace(entry.candidate.flow, graph_json=None)
    return replace(entry, report=report, candidate=replace(entry.candidate, parents=parents, flow=flow))


@pytest.fixture(scope="module")
def several() -> tuple[Entry, ...]:
    return crowded.entries(30, words="Short.")


def test_before_anything_was_measured_there_is_a_point_and_its_costs() -> None:
    told = gather(told_round(knobs=(("topk_ratio", (0.125, 0.25)),)), ())
    assert (told.controls, told.frontier, told.parents, told.siblings, told.failures, told.notes) == ((), (), (), (), (), {})
    assert told.knobs == ("topk_ratio: 0.125, 0.25",)
    assert dict(told.sizes) == {"block_size": 16, "head_dim": 64, "group": 2}
    # 8,192 tokens, 512 blocks, key and value of 64 float32 each: 4,194,304 bytes; one vector a block: 131,072.
    assert told.costs[0] == "Dense attention reads 4.19 MB: 512 blocks of 8.19 kB; 1/8 of them is 524 kB; 1/4 of them is 1.05 MB."
    assert "adds 131 kB (3.1% of dense)" in told.costs[1]


def test_latent_sizes_are_those_of_the_latent_row() -> None:
    told = gather(told_round(geometry=Geometry.of_latent()), ())
    assert told.sizes == {"block_size": 16, "head_dim": 576, "group": 20, "kv_lora_rank": 512, "qk_rope_head_dim": 64}
    assert told.costs[0].startswith("Dense attention reads 18.9 MB")      # 8,192 rows of 576 float32, no value beside them


def test_a_policy_of_many_lines_stays_on_one() -> None:
    told = gather(told_round(point=OperatingPoint(schedule_policy="max(32,\n# evil\n cached_block_len)")), ())
    assert "schedule_policy max(32, # evil cached_block_len)" in told.point


def test_figures_are_those_of_the_frontier(several: tuple[Entry, ...]) -> None:
    known, told = frontier(several), gather(told_round(), several)
    assert {one.id for one in told.controls} == {1}
    places = {one.id: one.place for one in told.frontier}
    for one in known.at(Place.BEST):
        assert one.candidate.is_dense or places[one.candidate.id] == "on the frontier"
    assert "beaten" not in places.values()
    assert told.tried == 38 and told.failed == 20
    dense = told.controls[0]
    assert (dense.accuracy, dense.share) == ("0.95 ±.08", "all")


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 9, 16])
def test_any_first_few_of_a_frontier_cover_its_range(count: int) -> None:
    spread = feedback._spread(list(range(count)))  # type: ignore[arg-type]  (only the order counts)
    assert sorted(spread) == list(range(count))    # type: ignore[type-var]
    if count > 1:
        assert set(spread[:2]) == {0, count - 1}


def test_a_parent_comes_with_its_text_its_tasks_and_its_place(several: tuple[Entry, ...]) -> None:
    quest = several[1]
    (one,) = gather(told_round(parent(quest), parent(quest)), several).parents
    assert one.id == 2 and one.source == quest.candidate.flow.source and one.hypothesis == "Short."
    assert one.tasks == ("multikey-1k-full 0.60 ±.15 (dense 0.95 ±.08)",)
    assert one.standing is not None and one.standing.accuracy == "0.60 ±.15"
    assert one.why.startswith("2 is ")


def test_a_parent_without_a_candidate_is_written_out_from_its_graph(several: tuple[Entry, ...]) -> None:
    seed = replace(parent(several[1]), id=None)
    (one,) = gather(told_round(seed), ()).parents
    assert one.id is None and one.why == "" and 'cache["hi"] = cache["k"].max(dim=1)' in one.source


def test_a_long_text_is_written_out_from_its_graph(several: tuple[Entry, ...]) -> None:
    quest = several[1]
    text = quest.candidate.flow.source + "# long\n" * 1000
    long = replace(quest, candidate=replace(quest.candidate, flow=replace(quest.candidate.flow, source=text)))
    (one,) = gather(told_round(parent(long)), (several[0], long)).parents
    assert "# long" not in one.source and "forward_indexer" in one.source


def test_failed_siblings_come_first_and_say_why(several: tuple[Entry, ...]) -> None:
    quest = several[1]
    good = crowded._with_flow(made.entry(20, 0.9, 3.5), "arkvale", "Good.")
    good = replace(good, candidate=replace(good.candidate, parents=(2,)))
    bad = failing(21, "retrieval", "below-gate", "0.31 of 0.85", parents=(2,))
    stranger = failing(22, "static", "ShapeMismatch", "64 and 1 differ")
    told = gather(told_round(parent(quest)), (several[0], quest, good, bad, stranger))
    assert [one.id for one in told.siblings] == [21, 20]
    assert told.siblings[0].outcome == "is not on the frontier: it ended at retrieval (below-gate). 0.31 of 0.85"
    assert [(one.code, one.count) for one in told.failures] == [("ShapeMismatch", 1)]


def test_failures_of_one_reason_are_counted_whatever_their_numbers() -> None:
    entries = [failing(i, "static", "ShapeMismatch", f"sizes {i} and {2 * i} differ") for i in range(10, 15)]
    entries.append(failing(30, "retrieval", "below-gate", "0.3 of 0.9"))
    first, second = gather(told_round(), entries).failures
    assert (first.count, first.code, first.message) == (5, "ShapeMismatch", "sizes 14 and 28 differ")
    assert len(first.names) == 3 and (second.count, second.stage) == (1, "retrieval")


def test_notes_are_recalled_without_the_vetoed_and_those_of_this_round(several: tuple[Entry, ...]) -> None:
    notes = [Note(id=1, kind="steer", text="Fewer bytes."), Note(id=2, kind="anti-pattern", text="Signs.", vetoed=True),
             Note(id=3, kind="question", text="Now?", data={"round": 2}),
             Note(id=4, kind="question", text="Before?", data={"round": 1}),
             Note(id=5, kind="question", text="Pinned?", pinned=True)]
    found = gather(told_round(), (several[0],), notes=notes).notes
    assert list(found) == ["steer", "question"]
    assert found["steer"] == ("Fewer bytes.",)
    assert found["question"] == ("Pinned?", "Before?")


def test_the_machine_and_its_dense_step_are_told() -> None:
    dense = made.dense()
    speed = dense.report.results[1]
    timed = replace(speed, metrics={**speed.metrics, "step_ms": speed.metrics["speed"]})
    dense = replace(dense, report=Report(results=(dense.report.results[0], timed)),
                    candidate=replace(dense.candidate, flow=replace(dense.candidate.flow, graph_json=None)))
    told = gather(told_round(), (dense,), hardware={"processor": "A CPU", "cores": 2})
    assert told.hardware == "A CPU; 2 cores; a dense step of 8 requests of 8K tokens takes 1 ms"


def test_the_same_entries_tell_the_same(several: tuple[Entry, ...]) -> None:
    round = crowded.told_round(several)
    assert gather(round, several, notes=crowded.notes(9)) == gather(round, several, notes=crowded.notes(9))
