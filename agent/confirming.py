"""Exams: what may stand on the frontier is run again on problems that the search never saw, one verdict after the other.

Who is tried follows from the search's own rows, the order too; attempts are written down before the first one is begun,
so that a run that was cut off goes on with the same and spends its level once.
"""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from agent.crew import Crew
from agent.curves import beside
from agent.judge import Judge
from agent.rivals import rivals
from evaluator.cluster import Runner
from evaluator.funnel import Book, Funnel, Work
from evaluator.guard.harness import Harness
from evaluator.report import Row, StageResult, Status
from evaluator.stage import Context, Rival
from evaluator.stages.audit import NAME as AUDIT
from evaluator.stages.confirm import ConfirmStage, Waiting, in_turn
from evaluator.statistics import CONFIRM_STAGE, speed
from search.candidate import EXAMS, Candidate, Entry, without_exams
from search.store.archive import Archive
from vortex.errors import CampaignError

EVENT = "exam"


@dataclass(frozen=True)
class ExamBook:
    """A Book that keeps rows and verdicts; without `verdicts` those alone that no rival could change.

    A fault of the machines is none: kept, it would stand before the verdict of another exam.
    """

    book: Book
    verdicts: bool

    def rows(self, stage: str) -> Sequence[Row]:
        return self.book.rows(stage)

    def add(self, row: Row) -> None:
        self.book.add(row)

    def result(self, stage: str) -> StageResult | None:
        return self.book.result(stage)

    def close(self, result: StageResult) -> None:
        if result.status is not Status.INFRASTRUCTURE and (self.verdicts or result.status is not Status.OK):
            self.book.close(result)

    def dense(self, stage: str) -> Sequence[Row]:
        return self.book.dense(stage)


@dataclass(frozen=True, kw_only=True)
class Exam:
    """`stage` is the exam, not yet given to anybody; `files` are our own, read again before verdicts are drawn; `knobs` are
    the settings of the point that the campaign sweeps."""

    campaign: str
    archive: Archive
    judge: Judge
    runner: Runner
    stage: ConfirmStage
    files: Harness
    knobs: Sequence[str] = ()

    def hold(self, only: Sequence[int] = ()) -> tuple[Candidate, ...]:
        """Tries those that are worth it, or the candidates `only`; gives them as they ended. Raises Stopped, VortexError.

        All are measured before the first verdict, which so depends neither on how many workers there are nor on files that
        changed meanwhile.
        """
        tries = self._tries(only)
        if not tries:
            return ()
        crew = Crew(self.runner.slots, self.judge.clock)
        judged = self._beside(crew, [one for one, _ in tries if self._open(one)])
        standards = self._standards()
        field = [entry.candidate for entry in self._entries() if entry.candidate.id in standards]
        crew.each([lambda one=one: self._measure(one, 0) for one in field if self._open(one)])  # type: ignore[misc]
        if any(self._open(one) for one in field) or any(one.status is Status.INFRASTRUCTURE for one in judged):
            self.judge.watch.note(f"the exam {self.stage.name} waits: the machines kept a control from taking it")
            return ()
        for one, _ in tries:
            self._settled(one, self.archive.book(one).result(self.stage.name))
        waiting = [(one, attempt) for one, attempt in tries if self._open(one)]
        crew.each([lambda one=one, n=n: self._measure(one, n, rows_only=True) for one, n in waiting])  # type: ignore[misc]
        self.files.check(thorough=True)
        return tuple(self._end(one, attempt) for one, attempt in waiting)

    def _beside(self, crew: Crew, tries: Sequence[Candidate]) -> list[Candidate]:
        """Judges the known algorithms at the points of `tries`, as it was done at the campaign's own."""
        controls = [one for one in self.archive.candidates(self.campaign) if one.tier == "control"]
        cut_off = [one for one in controls if one.status in (None, Status.INFRASTRUCTURE)]
        new = [self.archive.add_candidate(one) for one in beside(tries, controls, self._standards(), self.knobs)]
        return crew.each([partial(self.judge.judge, one) for one in (*cut_off, *new)])

    def attempts(self) -> Mapping[int, int]:
        """Which attempt each candidate was, in order."""
        return attempts(self.archive, self.campaign, self.stage.name)

    def _entries(self) -> tuple[Entry, ...]:
        return self.archive.entries(self.campaign, exams=True)

    def _standards(self) -> set[int]:
        """The controls that whatever is confirmed must be better than."""
        return {one.id for one in rivals(map(without_exams, self._entries())) if one.tier == "control"}

    def _tries(self, only: Sequence[int]) -> list[tuple[Candidate, int]]:
        """Candidates with the number of their attempt; new ones are written down."""
        entries = {entry.candidate.id: entry for entry in self._entries()}
        made = dict(self.attempts())
        for id in only or self._worth_it(entries, made):
            if id not in made:
                made[id] = len(made) + 1
                self.archive.event(self.campaign, EVENT, {"set": self.stage.name, "candidate": id, "attempt": made[id],
                                                          "problems": self.stage.settings.samples})
        return [(entries[id].candidate, attempt) for id, attempt in made.items() if id in entries]

    def _worth_it(self, entries: Mapping[int, Entry], made: Mapping[int, int]) -> list[int]:
        """By the search's own rows, in the order of their attempts."""
        seen = [without_exams(entry) for entry in entries.values()]
        standing, waiting = rivals(seen), []
        for entry in seen:
            one = entry.candidate
            if one.tier == "control" or one.status is not Status.OK or one.id in made:
                continue
            others = tuple(rival for rival in standing if rival.id != one.id)
            context = Context(point=one.point, graph=one.flow.graph, own=entry.by_stage, rivals=others)
            if not self.stage.skip(context):
                waiting.append(Waiting(one.id, self.stage.chance(entry.by_stage, others), speed(entry.by_stage).value))
        return [one.id for one in in_turn(waiting, self.stage.settings.most - len(made))]

    def _open(self, candidate: Candidate) -> bool:
        """Whether it has this exam before it, and has failed no other."""
        results = {name: self.archive.book(candidate).result(name) for name in EXAMS}
        mine = results.pop(self.stage.name)
        return (candidate.status is Status.OK and (mine is None or mine.status is Status.INFRASTRUCTURE)
                and all(other is None or other.status is Status.OK for other in results.values()))

    def _against(self, candidate: Candidate) -> tuple[Rival, ...]:
        """What its rows are compared with: controls, and what was confirmed by now, as this exam measured them."""
        standards = self._standards()
        return tuple(Rival(id=entry.candidate.id, name=entry.candidate.name, tier=entry.candidate.tier, rows=entry.by_stage)
                     for entry in self._entries() if entry.candidate.id != candidate.id and entry.candidate.status is Status.OK
                     and (entry.candidate.id in standards or (entry.candidate.tier == "confirmed" and self._met(entry))))

    def _met(self, entry: Entry) -> bool:
        """Whether a confirmed candidate can be compared with: not everyone takes the sealed exam, nor passes it. Without rows
        of the set that confirmed it, it stands in the way."""
        if self.stage.name == CONFIRM_STAGE:
            return True
        rows, result = entry.by_stage.get(self.stage.name, ()), entry.report.result(self.stage.name)
        if not rows or (result is not None and result.status is not Status.OK):
            return False
        return len(rows) >= sum(problem.repeats for problem in self.stage.problems(entry.candidate.point))

    def _measure(self, candidate: Candidate, attempt: int, *, rows_only: bool = False) -> StageResult:
        self.judge.watch.candidate_started(candidate)
        stage, control = replace(self.stage, attempt=attempt), candidate.tier == "control"
        work = Work(name=candidate.name, source=candidate.flow.source, point=candidate.point, control=control,
                    graph=None if candidate.is_dense else candidate.flow.graph,
                    rivals=() if control or rows_only else self._against(candidate))
        wrap = partial(ExamBook, verdicts=not rows_only)
        result, = self.judge.run(Funnel([stage], self.runner), candidate, work, wrap).results
        if candidate.is_dense and result.status not in (Status.OK, Status.INFRASTRUCTURE):
            raise CampaignError(f"the dense control failed the exam {stage.name}: {result.message}",
                                hint="Without it nothing can be confirmed.")
        return result

    def _end(self, candidate: Candidate, attempt: int) -> Candidate:
        result = self._measure(candidate, attempt)
        if result.status is Status.OK:
            told = result.facts["text"]
        elif result.status is Status.INFRASTRUCTURE:
            told = f"{result.code}; it will be tried again"
        else:
            told = f"{result.status} on problems it had not seen ({result.code})"
        self.judge.watch.note(f"{candidate.id} {candidate.name}: {told}")
        return self._settled(candidate, result)

    def _settled(self, candidate: Candidate, result: StageResult | None) -> Candidate:
        """As its verdict says; a kill may have come between the two."""
        if result is None or result.status is Status.INFRASTRUCTURE or candidate.status is not Status.OK:
            return candidate
        confirmed = self.stage.name == CONFIRM_STAGE and bool(result.facts.get("confirmed"))
        return self.archive.finish(candidate, result.status, tier="confirmed" if confirmed else None)


def attempts(archive: Archive, campaign: str, name: str) -> Mapping[int, int]:
    """Candidates that took the exam `name`, with the number of their attempt, in its order."""
    return {int(event.data["candidate"]): int(event.data["attempt"]) for event in archive.events(campaign)
            if event.kind == EVENT and event.data["set"] == name}


def uses(archive: Archive, campaign: str) -> Mapping[str, int]:
    """How many candidates have met each set of problems that the search must not learn from; sets never used are left out."""
    told = {part: len(attempts(archive, campaign, part)) for part in EXAMS} | {AUDIT: archive.takers(campaign, AUDIT)}
    return {part: count for part, count in told.items() if count}
