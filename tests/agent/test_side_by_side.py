"""The loop on a place that is played: candidates judged at once end as those judged in turn; what no candidate can help."""
import hashlib
import threading
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent import loop
from agent.campaign import Campaign, from_json
from agent.loop import Outcome
from agent.prepare import Ready
from agent.proposers.base import Parent
from agent.watch import Quiet
from evaluator.cluster import ClusterSettings, JobError
from evaluator.guard.harness import HarnessChanged
from evaluator.report import Row, Status
from evaluator.stage import Answered, Problem
from search.store.archive import Archive, open_archive
from tests.agent.asking import PROBE, quick
from tests.evaluator.own_files import FILE, one_file, rewritten
from vortex import flows
from vortex.compiler.front import load
from vortex.config import OperatingPoint
from vortex.errors import CampaignError
from vortex.ir import Graph

CONTROLS = 2
SEEDS = ("quest", "centroid")


@dataclass
class Played:
    """A Runner whose answers follow from the flow and the problem. With several slots candidates of a round meet there."""

    slots: int = 1
    loses: int = -1                       # the stream, from 0, that a fault of the machines ends after its first answer
    silent: bool = False                  # every answer is wrong
    streams: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.meeting = threading.Barrier(self.slots, timeout=60)

    def stream(self, stage: Any, graph: Graph | None, point: OperatingPoint, problems: Sequence[Problem],
               done: Collection[tuple[str, int]], timeout_s: float) -> Generator[Answered, None, None]:
        with self.lock:
            number, self.streams = self.streams, self.streams + 1
        if number >= CONTROLS:
            self.meeting.wait()
        name = "dense" if graph is None else graph.to_json()
        for at, problem in enumerate(one for one in problems if (one.id, 0) not in done):
            if at and number == self.loses:
                raise JobError(Status.INFRASTRUCTURE, "worker-lost", "the machine went away")
            digest = hashlib.blake2b(f"{name}/{problem.id}".encode()).digest()[0]
            yield Answered(problem=problem.id, data={"right": not self.silent and digest < 128})


@dataclass
class Growing(Played):
    """Two nodes join when the first round is over."""

    def stream(self, *args: Any) -> Generator[Answered, None, None]:
        yield from super().stream(*args)
        if self.streams == CONTROLS + 3:
            self.slots, self.meeting = 3, threading.Barrier(3, timeout=20)


@dataclass
class Meddling(Played):
    """A candidate writes one of our files, and puts its size and time back."""

    file: Path = Path()

    def stream(self, *args: Any) -> Generator[Answered, None, None]:
        yield from super().stream(*args)
        rewritten(self.file, "a = 2\n", same_times=True)


def grade(self: Any, problem: Problem, answered: Answered, point: OperatingPoint) -> Row:
    return Row(stage=self.name, problem=problem.id, score=float(answered.data["right"]))


def a_campaign() -> Campaign:
    return from_json({"campaign": {"name": "made", "seed": 3, "controls": ["dense", "quest"], "seeds": list(SEEDS)},
                      "budget": {"candidates": 6, "round_size": 3}, "proposer": [{"kind": "evolve"}],
                      "stage": [{"name": "retrieval", "tasks": ["multikey-512-full"], "samples": 12}]}, "made")


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Runs the campaign on a Runner that is played, in the archive that is given."""
    monkeypatch.setattr("agent.loading.load_untrusted", lambda path, text, geometry, parameters=(), trusted=False:
                        quick(text, path, parameters))
    monkeypatch.setattr("evaluator.stages.accuracy.AccuracyStage.grade", grade)
    seeds = tuple(Parent(name=name, graph=load(flows.read(name)[1], name, PROBE), point=OperatingPoint()) for name in SEEDS)

    def played(archive: Archive, runner: Played) -> Outcome:
        @contextmanager
        def cluster(settings: ClusterSettings) -> Iterator[Played]:
            yield runner

        monkeypatch.setattr(loop, "Cluster", cluster)
        made = a_campaign()
        if archive.campaign(made.name) is None:
            archive.create_campaign(made.name, "", made.to_json(), made.seed)
        return loop.run(made, Ready(PROBE, seeds), archive, Quiet())

    yield played


def found(archive: Archive) -> list[tuple[Any, ...]]:
    """All that the campaign found, but for when."""
    return [(one.id, one.round, one.slot, one.name, one.flow.hash, one.parents, one.status, archive.report(one),
             [(row.stage, row.problem, row.score) for row in archive.rows(one)]) for one in archive.candidates("made")]


def test_three_at_once_end_as_one_after_the_other(tmp_path: Path, play: Any) -> None:
    one, three = (open_archive(tmp_path / f"{slots}.db") for slots in (1, 3))
    assert play(one, Played()).finished and play(three, Played(slots=3)).finished
    assert found(three) == found(one)
    judged = [rows for *_, rows in found(three)]
    assert len(judged) == CONTROLS + 6 and all(len(rows) == 12 for rows in judged)


def test_a_node_that_joins_is_used_from_the_next_round_on(tmp_path: Path, play: Any) -> None:
    archive, runner = open_archive(tmp_path / "results.db"), Growing()
    assert play(archive, runner).finished and runner.streams == CONTROLS + 6


@pytest.mark.parametrize("silent", [False, True])
def test_a_file_of_ours_that_changed_unseen_is_found_when_the_campaign_ends(
        tmp_path: Path, play: Any, monkeypatch: pytest.MonkeyPatch, silent: bool) -> None:
    """Where another error ended it, that error is told, and the change is noted."""
    notes: list[str] = []
    files, archive = one_file(tmp_path), open_archive(tmp_path / "results.db")
    monkeypatch.setattr(loop, "harness", lambda: files)
    monkeypatch.setattr(Quiet, "note", lambda self, text: notes.append(text))
    with pytest.raises(CampaignError if silent else HarnessChanged, match="gives no signal" if silent else FILE):
        play(archive, Meddling(file=tmp_path / FILE, silent=silent))
    record = archive.campaign("made")
    assert record is not None and record.state == "stopped"
    assert [(FILE in note) for note in notes] == [True] * silent


def test_a_dense_control_without_signal_stops_the_campaign_and_says_why(tmp_path: Path, play: Any) -> None:
    archive, runner = open_archive(tmp_path / "results.db"), Played(silent=True)
    with pytest.raises(CampaignError, match=r"the dense control gives no signal: .*cannot be told from chance") as caught:
        play(archive, runner)
    assert (caught.value.exit_code, runner.streams) == (2, 1)
    record = archive.campaign("made")
    assert record is not None and record.state == "stopped" and len(archive.candidates("made")) == 1


def test_what_the_machines_lost_is_left_open_and_judged_on_resume(tmp_path: Path, play: Any) -> None:
    whole, broken = open_archive(tmp_path / "whole.db"), open_archive(tmp_path / "broken.db")
    play(whole, Played())
    outcome = play(broken, Played(loses=CONTROLS + 1))
    record = broken.campaign("made")
    assert (outcome.finished, outcome.unsettled) == (False, 1) and record is not None and record.state == "stopped"
    lost = [one.slot for one in broken.candidates("made") if one.status is Status.INFRASTRUCTURE]
    assert lost == [1]
    again = Played()
    assert play(broken, again).finished and again.streams == 1
    first = [one for one in found(whole) if one[1] < 2]
    assert [one for one in found(broken) if one[1] < 2] == first
    assert all(len(rows) == 12 and status is Status.OK for *_, status, _, rows in found(broken))
