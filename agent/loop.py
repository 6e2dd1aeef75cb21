"""The loop: controls, then rounds of select, propose, judge and record, until the budget ends."""
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from agent import exams, memory, opening
from agent.attendance import Attendance, NobodyLeft
from agent.campaign import Campaign
from agent.claims import Claim
from agent.clock import Clock
from agent.confirming import Exam
from agent.crew import Crew
from agent.desks import Models, make_desks, make_models
from agent.environment import measured
from agent.judge import Judge
from agent.loading import Loading
from agent.mix import seats
from agent.prepare import Ready
from agent.proposers.base import Proposal
from agent.rivals import rivals
from agent.rounds import Rounds
from agent.stop import Stop, Stopped
from agent.watch import InTurn, Progress, Watch
from evaluator.cluster import Cluster, ClusterSettings, LocalCluster, Runner
from evaluator.funnel import Funnel
from evaluator.guard.guarded import Guarded
from evaluator.guard.harness import Harness, HarnessChanged, harness
from evaluator.recorded import RecordedTimings, Timings
from evaluator.report import Status
from evaluator.stage import Rival
from evaluator.stages import make_stage
from evaluator.statistics import CONFIRM_STAGE
from evaluator.tasks.parts import Part
from search.candidate import DENSE, Candidate, Draft, FlowRecord, flow_record
from search.frontier import Place, frontier
from search.store.archive import Archive
from vortex import flows
from vortex.errors import CampaignError, VortexError
from vortex.ir import Geometry, Parameter

NO_SIGNAL = "no-signal"               # the code of a dense control that scores at chance


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended: whether the campaign did too, and the share of its time that the loop itself took.

    `unsettled` counts candidates that faults of the machines kept from being judged.
    """

    finished: bool
    overhead: float
    unsettled: int = 0


@dataclass(frozen=True, kw_only=True)
class Means:
    """What a run is given beside its campaign: where workers run, and a file of timings to replay."""

    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    timings: Path | None = None


def run(campaign: Campaign, ready: Ready, archive: Archive, watch: Watch, means: Means | None = None) -> Outcome:
    """Goes on where the campaign stands. Raises VortexError for an engine or a database that cannot be had, and for
    a language model that cannot be asked where no other proposer is left; what was found is kept."""
    models = make_models(campaign)
    with opened(campaign, ready.geometry, archive, watch, means) as loop:
        archive.set_state(campaign.name, "running")
        finished, unsettled = False, 0
        try:
            loop.controls()
            _search(loop, ready, models)
            loop.exam()
            unsettled = loop.unsettled()
            finished = not unsettled
        except Stopped:
            watch.note(f"stopped; go on with: vortex resume {campaign.name}")
        finally:
            archive.set_state(campaign.name, "finished" if finished else "stopped")
            overhead = loop.account()
    return Outcome(finished=finished, overhead=overhead, unsettled=unsettled)


def _search(loop: "Loop", ready: Ready, models: Models) -> None:
    """Until the budget or the ideas end. Raises Stopped, and CallError where a person can mend why nobody is left."""
    try:
        loop.rounds(loop.proposing(ready, models))
    except NobodyLeft as nobody:
        if nobody.error is not None:
            raise nobody.error from None


@contextmanager
def opened(campaign: Campaign, geometry: Geometry, archive: Archive, watch: Watch,
           means: Means | None = None) -> Iterator["Loop"]:
    """A loop with its lease on the campaign, its cluster and its ear for Ctrl-C. Raises VortexError.

    Raises HarnessChanged at its end where our own files are no longer what they were: the campaign is then left open.
    """
    means, watch, clock = means or Means(), InTurn(watch), Clock(opening.spent_s(archive, campaign.name))
    with ExitStack() as stack:
        stack.enter_context(archive.hold(campaign.name))
        where = measured(campaign)
        opening.hold_to(archive, campaign.name, where)
        files, timings = harness(), None if means.timings is None else Timings(means.timings)
        stop = stack.enter_context(Stop(lambda: watch.note("stopping after what is in flight; Ctrl-C again stops now")))
        with clock.part("starting"):
            runner: Runner = stack.enter_context(Cluster(means.cluster)) if _needs_a_device(campaign) else LocalCluster()
        if timings is not None:
            runner = RecordedTimings(runner, timings)
        runner, secret = Guarded(runner, files), archive.secret(campaign.name)
        judge = Judge(archive=archive, funnel=funnel(campaign, runner, secret, gates=True), clock=clock, watch=watch, stop=stop,
                      controls=funnel(campaign, runner, secret, gates=False), twins=campaign.duplicates == "measure",
                      environment=archive.environment(where))
        with _unchanged(files, archive, campaign.name, watch):
            yield Loop(campaign, archive, judge, geometry, runner, files)


@contextmanager
def _unchanged(files: Harness, archive: Archive, campaign: str, watch: Watch) -> Iterator[None]:
    """Reads all `files` anew at the end. Raises HarnessChanged, and leaves the campaign open; where another error ends it,
    that one goes first and the change is noted."""
    try:
        yield
        files.check(thorough=True)
    except HarnessChanged:
        archive.set_state(campaign, "stopped")
        raise
    except BaseException:
        if changed := files.changed(thorough=True):
            watch.note(str(HarnessChanged(changed)))
        raise


def _needs_a_device(campaign: Campaign) -> bool:
    """Stages without problems are arithmetic."""
    return any(make_stage(spec.name, spec.settings).problems(campaign.point) for spec in campaign.stages)


def funnel(campaign: Campaign, runner: Runner, secret: int, *, gates: bool) -> Funnel:
    """The campaign's stages but for its exam; without gates every stage is measured to its end, as controls are."""
    kept = [(spec.name, {k: v for k, v in spec.settings.items() if gates or k not in exams.GATING})
            for spec in campaign.stages if spec.name != CONFIRM_STAGE]
    return Funnel([exams.audited(make_stage(name, settings), secret) for name, settings in kept], runner)


class Loop:
    """One run of a campaign. Everything it must know after a kill stands in the archive."""

    def __init__(self, campaign: Campaign, archive: Archive, judge: Judge, geometry: Geometry,
                 runner: Runner, files: Harness) -> None:
        self._load = Loading(geometry)
        self._campaign = campaign
        self._archive = archive
        self._judge = judge
        self._runner = runner
        self._files = files
        self._telling = threading.Lock()
        self._accounted_s = 0.0
        self._first_hypervolume: float | None = None
        self._done = {(one.round, one.slot) for one in archive.candidates(campaign.name)
                      if one.status not in (None, Status.INFRASTRUCTURE)}

    def controls(self) -> None:
        """Round 0: the known algorithms, dense first, for the gates compare with it."""
        for slot, name in enumerate(dict.fromkeys((DENSE, *self._campaign.controls))):
            short, text, path = flows.read(name)
            if name == DENSE:
                flow, refusal = flow_record(DENSE, text, None), None
            else:
                flow, refusal = self.loaded(text, path)
            self.enter(Draft(campaign=self._campaign.name, round=0, slot=slot, name=short, flow=flow, tier="control",
                             point=self._campaign.point.with_(**flows.settings(path)), author="built-in"), refusal)
            if name == DENSE:
                self._heed_signal()

    def _heed_signal(self) -> None:
        """Raises CampaignError where the model cannot do the tasks even with dense attention: nothing could be ranked."""
        for entry in self._archive.entries(self._campaign.name):
            last = entry.report.results[-1:] if entry.candidate.is_dense else ()
            if last and last[0].code == NO_SIGNAL:
                raise CampaignError(f"the dense control gives no signal: {last[0].message}",
                                    hint="Choose easier tasks, shorter texts or another model, under another campaign.name.")

    def proposing(self, ready: Ready, models: Models) -> Rounds:
        """The rounds of the campaign, with a desk for each proposer that asks a model."""
        judge, campaign = self._judge, self._campaign
        desks = make_desks(campaign, models, self._archive, self.loaded, check=judge.stop.check, note=judge.watch.note,
                           left_s=lambda: 60 * campaign.minutes - judge.clock.total_s)
        return Rounds(campaign=campaign, archive=self._archive, ready=ready, desks=desks,
                      attendance=Attendance(seats(campaign.proposers), judge.watch.note))

    def rounds(self, rounds: Rounds) -> None:
        """From round 1: proposals, until the candidates or the minutes are used up. Raises NobodyLeft and Stopped."""
        for number, count in rounds.sizes():
            if sum(round == number for round, _ in self._done) < count and not self.round(rounds, number, count):
                return
            if self._confirms_after(number):
                self.exam()

    def round(self, rounds: Rounds, number: int, count: int) -> bool:
        """Proposes and judges; false where the minutes are used up. Raises NobodyLeft and Stopped."""
        with self._judge.clock.part("proposing"):
            proposals = rounds.propose(number, count)
        before = (one for one in self._archive.entries(self._campaign.name) if one.candidate.round < number)
        against = rivals(before)
        crew = Crew(self._runner.slots, self._judge.clock)      # nodes may have come or gone since the round before
        if crew.size > 1:                     # their numbers follow their places, whoever is done first
            for slot, proposal in enumerate(proposals):
                self._seat(*self._draft(number, slot, proposal), proposal.claim)
        jobs = [partial(self._in_time, number, slot, one, against) for slot, one in enumerate(proposals)]
        if not all(crew.each(jobs)):
            return False
        self._learn()
        return True

    def _in_time(self, number: int, slot: int, proposal: Proposal, against: Sequence[Rival]) -> bool:
        """Judges a proposal; false where the minutes are used up."""
        if self._judge.clock.total_s >= 60 * self._campaign.minutes:
            return False
        self.enter(*self._draft(number, slot, proposal), proposal.claim, against)
        return True

    def _draft(self, number: int, slot: int, proposal: Proposal) -> tuple[Draft, VortexError | None]:
        ours = {seat.label for seat in seats(self._campaign.proposers) if not seat.spec.model}     # no language model wrote it
        flow, refusal = self.loaded(proposal.source, f"<{proposal.name}>", proposal.parameters, trusted=proposal.author in ours)
        draft = Draft(campaign=self._campaign.name, round=number, slot=slot, name=proposal.name, flow=flow,
                      point=proposal.point, author=proposal.author, hypothesis=proposal.hypothesis, parents=proposal.parents)
        return draft, refusal and (proposal.refusal or refusal)

    def _confirms_after(self, number: int) -> bool:
        spec = next((one for one in self._campaign.stages if one.name == CONFIRM_STAGE), None)
        every = 0 if spec is None else int(spec.settings.get("every", 0))
        return bool(every) and number % every == 0

    def exam(self, part: Part = exams.CONFIRM, only: Sequence[int] = (), *, asked: bool = False) -> tuple[Candidate, ...]:
        """Tries what may stand on the frontier, or the candidates `only`, on problems that the search has not seen.

        Nothing where the campaign has no such stage, unless a person `asked`. Raises Stopped, VortexError.
        """
        stages = self._campaign.stages
        if not asked and all(spec.name != CONFIRM_STAGE for spec in stages):
            return ()
        stage = exams.exam(stages, part, self._archive.secret(self._campaign.name))
        try:
            return Exam(campaign=self._campaign.name, archive=self._archive, judge=self._judge, runner=self._runner,
                        stage=stage, files=self._files, knobs=[name for name, _ in self._campaign.knobs]).hold(only)
        finally:
            self._spent()

    def unsettled(self) -> int:
        """Candidates that ended through no fault of theirs: the next run judges them again."""
        left = sum(one.status is Status.INFRASTRUCTURE for one in self._archive.candidates(self._campaign.name))
        if left:
            self._judge.watch.note(f"{left} candidate{'s were' if left > 1 else ' was'} not judged, for faults of the machines; "
                                   f"again: vortex resume {self._campaign.name}")
        return left

    def _learn(self) -> None:
        """What a finished round taught, where a model reads it."""
        if any(spec.model for spec in self._campaign.proposers):
            with self._judge.clock.part("learning"):
                memory.learn(self._archive, self._campaign.name)

    def single(self, draft: Draft, refusal: VortexError | None = None) -> Candidate:
        """Judges one flow beside the controls, in a round of its own; the same flow at the same point is not run again."""
        known = self._archive.find_hash(draft.campaign, draft.flow.hash, draft.point.hash)
        if known is not None and known.status not in (None, Status.INFRASTRUCTURE):
            return known
        return self.enter(draft, refusal)

    def loaded(self, text: str, path: str, parameters: Sequence[Parameter] = (), *,
               trusted: bool = False) -> tuple[FlowRecord, VortexError | None]:
        """A text as a flow's record, and why it is none; `trusted` as of load_untrusted."""
        with self._judge.clock.part("evaluating"):
            return self._load(text, path, parameters, trusted=trusted)

    def enter(self, draft: Draft, refusal: VortexError | None, claim: Claim | None = None,
              against: Sequence[Rival] = ()) -> Candidate:
        """Judges a draft, unless that was done, and tells how the campaign stands. Raises Stopped."""
        self._judge.stop.check()
        if (draft.round, draft.slot) in self._done:
            return self._archive.add_candidate(draft)
        seated = self._seat(draft, refusal, claim)
        candidate = self._judge.judge(*seated, against)
        with self._telling:
            self._done.add((draft.round, draft.slot))
            self._spent()
            self._tell(candidate)
        return candidate

    def _seat(self, draft: Draft, refusal: VortexError | None,
              claim: Claim | None = None) -> tuple[Draft, VortexError | None]:
        """Gives a draft its number; what is judged in its place, and why it is no flow."""
        if (draft.round, draft.slot) in self._done:
            return draft, refusal
        entered = self._archive.add_candidate(draft)
        if (entered.author, entered.flow.hash) != (draft.author, draft.flow.hash):
            # The place was taken from outside (agent/outside.py) while the round was proposed: what stands there is judged.
            return entered, None
        if claim is not None:
            memory.hold(self._archive, entered, claim)
        return draft, refusal

    def account(self) -> float:
        """Writes where this run's time went; the share that was neither proposing, evaluating nor starting."""
        self._spent()
        shares = self._judge.clock.shares()
        own_s = shares.get("loop", 0.0) + shares.get("recording", 0.0)
        overhead = own_s / self._judge.clock.run_s
        self._archive.event(self._campaign.name, "time", {**shares, "overhead": overhead})
        return overhead

    def _tell(self, candidate: Candidate) -> None:
        watch, known = self._judge.watch, frontier(self._archive.entries(self._campaign.name))
        watch.candidate_ended(candidate, self._archive.report(candidate), known.find(candidate.id))
        if self._first_hypervolume is None or candidate.round == 0:
            self._first_hypervolume = known.hypervolume
        left_s = 60 * self._campaign.minutes - self._judge.clock.total_s
        watch.progress(Progress(done=sum(round > 0 for round, _ in self._done), total=self._campaign.candidates,
                                left_s=max(0.0, left_s), frontier=len(known.at(Place.BEST)),
                                first_hypervolume=self._first_hypervolume, hypervolume=known.hypervolume))

    def _spent(self) -> None:
        """Adds to the minutes used, in the archive."""
        now_s = self._judge.clock.run_s
        self._archive.event(self._campaign.name, "spent", {"seconds": now_s - self._accounted_s})
        self._accounted_s = now_s
