"""Exams: who is tried, on which problems, in which order, and that neither a kill nor a proposer changes or sees it."""
import pickle
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.cli import status
from agent.clock import Clock
from agent.confirming import Exam, attempts, uses
from agent.exams import CONFIRM, SEALED, exam
from agent.judge import Judge
from agent.stop import Stop
from agent.tables import StageTable
from agent.watch import Quiet
from evaluator.funnel import Funnel
from evaluator.guard.harness import Harness, HarnessChanged
from evaluator.report import Row, StageResult, Status
from evaluator.stage import Answered, Problem
from evaluator.stages import make_stage
from evaluator.stages.confirm import ConfirmStage
from evaluator.worker import JobError
from search.candidate import Candidate, Draft, flow_record
from search.frontier import frontier
from search.store.archive import Archive, open_archive
from tests.evaluator.own_files import FILE, one_file, rewritten
from tests.search import made
from vortex.config import OperatingPoint
from vortex.ir import Graph

SECRET = 1234567890123
STAGES = (StageTable.model_validate({"name": "retrieval", "tasks": ["multikey-512-full"], "samples": 4, "gate": ">= 0.9"}),
          StageTable.model_validate({"name": "speed", "batch": 1, "context": 64}),
          StageTable.model_validate({"name": "confirm", "samples": 40, "repeats": 5, "most": 3}))
TRUE = {"dense": (0.9, 1.0), "quest": (0.6, 2.0), "good": (0.9, 4.0), "lucky": (0.5, 2.0), "poor": (0.1, 1.0)}


@dataclass
class Answering:
    """A Runner that answers as well as each flow truly is."""

    archive: Archive
    slots: int = 1
    fails: str = ""
    how: BaseException = field(default_factory=KeyboardInterrupt)
    at: Mapping[float, tuple[float, float]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def stream(self, stage: Any, graph: Graph | None, point: OperatingPoint, problems: Sequence[Problem],
               done: Collection[tuple[str, int]], timeout_s: float) -> Generator[Answered, None, None]:
        name = next(one.name for one in self.archive.candidates("made") if one.point == point)
        self.asked.append(name)
        accuracy, speed = self.at.get(point.topk_ratio, TRUE[name])
        for index, problem in enumerate(problems):
            for repeat in range(problem.repeats):
                if (problem.id, repeat) in done:
                    continue
                if name == self.fails:
                    raise self.how
                noise = 1 + 0.002 * ((repeat + len(name)) % 3)
                data = {"dense_step_ms": speed * noise, "step_ms": 1.0, "right": index < accuracy * 40,
                        "bytes_per_step": 1, "dense_bytes_per_step": 8, "batch": 1, "threads": 1}
                yield Answered(problem=problem.id, repeat=repeat, data=data)


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """Dense and quest as controls, and three candidates; what the search measured of `lucky` is too good."""
    opened = open_archive(tmp_path / "results.db")
    opened.create_campaign("made", "", {}, 0)
    seen = {**TRUE, "lucky": (0.95, 3.0)}
    for slot, name in enumerate(TRUE):
        control = slot < 2
        point = OperatingPoint(topk_ratio=0.1 + 0.01 * slot)
        flow = flow_record(name, f"# {name}", None if name == "dense" else made.graph())
        draft = Draft(campaign="made", round=int(not control), slot=slot, name=name, flow=flow, point=point, author="evolve",
                      tier="control" if control else "provisional")
        candidate = opened.add_candidate(draft)
        book = opened.book(candidate)
        for row in made.rows(*seen[name], seed=slot):
            book.add(row)
        for stage in ("retrieval", "speed"):
            book.close(StageResult(stage=stage, status=Status.OK))
        opened.finish(candidate, Status.OK)
    monkeypatch.setattr("evaluator.stages.accuracy.AccuracyStage.grade", _grade)
    monkeypatch.setattr("evaluator.stages.accuracy.AccuracyStage.result",
                        lambda self, rows, context: StageResult(stage=self.name, status=Status.OK))
    return opened


def _grade(self: Any, problem: Problem, answered: Answered, point: OperatingPoint) -> Row:
    return Row(stage=self.name, problem=problem.id, repeat=answered.repeat, score=float(answered.data["right"]))


def held(archive: Archive, runner: Answering, part: Any = CONFIRM, only: Sequence[int] = (),
         files: Harness | None = None, knobs: Sequence[str] = ()) -> tuple[Candidate, ...]:
    clock = Clock()
    stop = Stop(lambda: None)
    nothing = Funnel([], runner)
    measuring = Funnel([make_stage(one.name, without_gate(one.settings)) for one in STAGES[:2]], runner)
    judge = Judge(archive=archive, funnel=nothing, controls=measuring, watch=Quiet(), stop=stop, clock=clock,
                  environment=archive.environment({"cpu": "x"}))
    stage = exam(STAGES, part, SECRET)
    return Exam(campaign="made", archive=archive, judge=judge, runner=runner, stage=stage,
                files=files or Harness(Path(), {}), knobs=knobs).hold(only)


def without_gate(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in settings.items() if name != "gate"}


@pytest.mark.parametrize("slots", [1, 3])
def test_what_is_truly_better_is_confirmed_and_what_was_lucky_is_not(archive: Archive, slots: int) -> None:
    ended = {one.name: one.tier for one in held(archive, Answering(archive, slots=slots))}
    assert ended["good"] == "confirmed" and ended["lucky"] == "provisional" and "poor" not in ended
    known = {one.candidate.name: one for one in frontier(archive.entries("made", exams=True)).standings}
    assert known["lucky"].accuracy.value == 0.5 and known["lucky"].fresh
    assert known["poor"].accuracy.value == 0.1 and not known["poor"].fresh
    assert all(not one.fresh for one in frontier(archive.entries("made")).standings)
    again = Answering(archive)
    assert held(archive, again) == () and again.asked == []


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize(("knobs", "tier", "standing"), [((), "confirmed", [0.1, 0.11]),
                                                        (("topk_ratio",), "provisional", [0.1, 0.11, 0.12])])
def test_a_known_algorithm_is_no_find_for_having_been_given_another_share(
        archive: Archive, knobs: tuple[str, ...], tier: str, standing: list[float], slots: int) -> None:
    """At the share of `good`, it and quest are both four times as fast as dense, and both lose most answers."""
    good = next(one.id for one in archive.candidates("made") if one.name == "good")
    runner = Answering(archive, slots=slots, at={0.1 + 0.01 * 2: (0.3, 4.0)})
    ended, = held(archive, runner, only=[good], knobs=knobs)
    assert ended.tier == tier
    controls = [one for one in archive.candidates("made") if one.tier == "control"]
    assert [round(one.point.topk_ratio, 2) for one in controls] == standing
    assert all(one.status is Status.OK and one.round == 0 for one in controls)


def test_a_control_that_the_machines_lost_at_another_share_is_asked_again(archive: Archive) -> None:
    good = next(one.id for one in archive.candidates("made") if one.name == "good")
    lost = Answering(archive, fails="quest", how=JobError(Status.INFRASTRUCTURE, "worker-lost", "gone"))
    assert held(archive, lost, only=[good], knobs=["topk_ratio"]) == ()
    ended, = held(archive, Answering(archive), only=[good], knobs=["topk_ratio"])
    assert (ended.name, ended.tier) == ("good", "provisional")         # as quest there is `good`, by its point
    assert sum(one.tier == "control" for one in archive.candidates("made")) == 3


def test_an_exam_that_was_cut_off_goes_on_with_the_same_attempts(archive: Archive) -> None:
    with pytest.raises(KeyboardInterrupt):
        held(archive, Answering(archive, fails="lucky"))
    before = attempts(archive, "made", CONFIRM)
    assert len(before) == 2
    held(archive, Answering(archive))
    assert attempts(archive, "made", CONFIRM) == before
    results = {one.name: archive.book(one).result(CONFIRM) for one in archive.candidates("made")}
    told = {name: found.facts["attempt"] for name, found in results.items() if found and "attempt" in found.facts}
    assert sorted(told.values()) == sorted(before.values())


@pytest.mark.parametrize("part", [CONFIRM, SEALED])
def test_what_fails_an_exam_is_off_the_frontier_and_the_search_hears_nothing_of_it(
        archive: Archive, monkeypatch: pytest.MonkeyPatch, part: Any) -> None:
    """Its fresh timings are beyond what the bytes allow."""
    monkeypatch.setitem(TRUE, "lucky", (0.9, 40.0))
    before = archive.entries("made")
    lucky, = held(archive, Answering(archive), part, [one.candidate.id for one in before if one.candidate.name == "lucky"])
    assert (lucky.status, lucky.tier) == (Status.HACK, "provisional")
    assert archive.report(lucky).results[-1].code == "beyond-roofline"
    assert frontier(archive.entries("made", exams=True)).find(lucky.id) is None
    assert archive.entries("made") == before


def test_a_verdict_is_heeded_although_a_kill_came_before_the_tier(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(Archive, "finish", _killed)
        with pytest.raises(KeyboardInterrupt):
            held(archive, Answering(archive))
    held(archive, Answering(archive))
    assert {one.name: one.tier for one in archive.candidates("made")}["good"] == "confirmed"


def _killed(*args: Any, **named: Any) -> Candidate:
    raise KeyboardInterrupt


def test_faults_of_the_machines_in_one_exam_do_not_stand_before_another(archive: Archive) -> None:
    good = next(one for one in archive.candidates("made") if one.name == "good")
    lost = JobError(Status.INFRASTRUCTURE, "worker-lost", "gone")
    held(archive, Answering(archive, fails="good", how=lost), CONFIRM, [good.id])
    held(archive, Answering(archive), SEALED, [good.id])
    assert [one.stage for one in archive.report(good).results] == ["retrieval", "speed", "sealed"]


def test_nobody_is_confirmed_against_a_control_that_failed_the_exam(archive: Archive) -> None:
    failing = Answering(archive, fails="quest", how=JobError(Status.CRASH, "worker-died", "twice"))
    assert {one.tier for one in held(archive, failing)} == {"provisional"}
    good = next(one for one in archive.candidates("made") if one.name == "good")
    assert "no better than quest" in archive.report(good).results[-1].facts["text"]
    held(archive, Answering(archive), SEALED, [good.id])
    assert archive.report(next(one for one in archive.candidates("made") if one.name == "quest")).status is Status.CRASH


def test_the_sealed_set_is_another_and_leaves_the_tier(archive: Archive) -> None:
    good = next(one.id for one in archive.candidates("made") if one.name == "good")
    ended, = held(archive, Answering(archive), SEALED, [good])
    assert ended.tier == "provisional" and list(attempts(archive, "made", SEALED)) == [good]
    ids = {row.problem for row in archive.rows(ended) if row.stage == SEALED}
    assert "retrieval/multikey-512-full/sealed/0" in ids and "speed/b1-c64" in ids


@pytest.fixture
def pair(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> tuple[Candidate, Candidate]:
    """Two that are confirmed, for one is the faster and the other the more accurate."""
    monkeypatch.setitem(TRUE, "good", (0.5, 4.0))
    monkeypatch.setitem(TRUE, "lucky", (1.0, 3.0))
    held(archive, Answering(archive))
    good, lucky = (one for one in archive.candidates("made") if one.tier == "confirmed")
    return good, lucky


@pytest.mark.parametrize("slots", [1, 3])
def test_the_sealed_exam_compares_all_that_take_it_however_many_workers_there_are(
        archive: Archive, pair: tuple[Candidate, Candidate], slots: int) -> None:
    held(archive, Answering(archive, slots=slots), SEALED, [one.id for one in pair])
    facts = [archive.report(one).results[-1].facts for one in pair]
    assert [one["confirmed"] for one in facts] == [True, True]
    assert not any("no problem in common" in one["text"] for one in facts)


@pytest.mark.parametrize("slots", [1, 3])
def test_who_fails_the_sealed_exam_is_no_rival_in_it(archive: Archive, pair: tuple[Candidate, Candidate], slots: int) -> None:
    good, lucky = pair
    failing = Answering(archive, slots=slots, fails="lucky", how=JobError(Status.CRASH, "worker-died", "twice"))
    held(archive, failing, SEALED, [good.id, lucky.id])
    assert archive.report(good).results[-1].facts["confirmed"] and archive.report(lucky).status is Status.CRASH


def test_one_alone_in_the_sealed_exam_is_not_held_against_those_that_did_not_take_it(
        archive: Archive, pair: tuple[Candidate, Candidate]) -> None:
    good, lucky = pair
    held(archive, Answering(archive), SEALED, [lucky.id])
    assert archive.report(lucky).results[-1].facts["confirmed"]
    held(archive, Answering(archive), SEALED, [good.id])
    assert archive.report(good).results[-1].facts["confirmed"]


def test_what_is_confirmed_without_rows_of_the_confirm_set_stands_in_the_way(archive: Archive) -> None:
    good, lucky = (next(one for one in archive.candidates("made") if one.name == name) for name in ("good", "lucky"))
    archive.finish(lucky, Status.OK, tier="confirmed")
    ended, = held(archive, Answering(archive), CONFIRM, [good.id])
    told = archive.report(good).results[-1].facts
    assert ended.tier == "provisional" and told["against"] == lucky.id and "no problem in common" in told["text"]


@pytest.mark.parametrize("slots", [1, 3])
def test_no_verdict_is_drawn_after_our_files_changed(archive: Archive, tmp_path: Path, slots: int) -> None:
    files = one_file(tmp_path)
    rewritten(tmp_path / FILE, "a = 2\n", same_times=True)
    with pytest.raises(HarnessChanged, match=FILE):
        held(archive, Answering(archive, slots=slots), files=files)
    assert all(archive.book(one).result(CONFIRM) is None for one in archive.candidates("made") if one.tier != "control")


def test_ids_and_what_travels_tell_nothing_of_the_seed() -> None:
    stage, point = exam(STAGES, CONFIRM, SECRET), OperatingPoint()
    seed = str(stage.inner[0].settings.seed)  # type: ignore[attr-defined]
    asked = stage.problems(point)
    assert len(asked) == 41 and not any(seed in problem.id for problem in asked)
    sent = pickle.loads(pickle.dumps(stage))
    assert isinstance(sent, ConfirmStage) and seed not in repr(sent) and seed in repr(stage)
    other = exam(STAGES, SEALED, SECRET).problems(point)
    assert not {str(p.ask.get("prompt")) for p in asked if "prompt" in p.ask} & {str(p.ask.get("prompt")) for p in other
                                                                                if "prompt" in p.ask}
    assert [p.ask for p in exam(STAGES, CONFIRM, SECRET).problems(point)] == [p.ask for p in asked]
    assert [p.ask for p in exam(STAGES, CONFIRM, SECRET + 1).problems(point)] != [p.ask for p in asked]


def test_status_tells_how_often_each_set_was_used(archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status.command(name=None, db=str(tmp_path / "results.db"), json=False)
    assert "exams" not in capsys.readouterr().out
    assert uses(archive, "made") == {}
    held(archive, Answering(archive))
    good, lucky, poor = (one for one in archive.candidates("made") if one.tier != "control")
    held(archive, Answering(archive), SEALED, [good.id])
    for one in (lucky, poor):
        archive.book(one).close(StageResult(stage="audit", status=Status.OK))
    assert uses(archive, "made") == {"confirm": 2, "sealed": 1, "audit": 2}
    status.command(name=None, db=str(tmp_path / "results.db"), json=False)
    assert "confirm 2, sealed 1, audit 2" in capsys.readouterr().out
