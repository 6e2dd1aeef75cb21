"""Flows handed in from outside: each takes the next free place of the campaign and is judged like any other candidate."""
import queue
import threading
from collections.abc import Iterator

from agent import memory
from agent.campaign import Campaign
from agent.loop import Loop, opened
from agent.opening import spent_s
from agent.prepare import Ready
from agent.proposers.asked import said
from agent.stop import Stopped
from agent.tools.bench import Submission
from agent.watch import Quiet
from evaluator.report import Row, Status
from search.candidate import Candidate, Draft, flow_record
from search.store.archive import Archive
from vortex.errors import BudgetSpent, VortexError

AUTHOR = "outside"
IDLE_S = 60.0                         # how long the engine is kept when nothing is waiting


class Outside:
    """`submit` may be called from any thread; `work` judges, in the main thread, until `close`."""

    def __init__(self, campaign: Campaign, ready: Ready, archive: Archive, wait_s: float) -> None:
        self._campaign, self._ready, self._archive, self._wait_s = campaign, ready, archive, wait_s
        self._waiting: queue.Queue[Candidate | None] = queue.Queue()
        self._ended: dict[int, threading.Event] = {}
        self._refused: dict[int, VortexError] = {}
        self._closing = threading.Event()
        self._entering = threading.Lock()
        for candidate in archive.candidates(campaign.name):
            if candidate.author == AUTHOR and candidate.status in (None, Status.INFRASTRUCTURE):
                self._wait_for(candidate)

    def submit(self, one: Submission) -> tuple[int, VortexError | None]:
        """Its number, when it is judged or `wait_s` seconds are over, and why it cannot be judged now. Raises BudgetSpent."""
        with self._entering:
            round, slot = self._place()
            flow = flow_record(one.graph.name, one.flow.source, one.graph)
            draft = Draft(campaign=self._campaign.name, round=round, slot=slot, name=one.flow.name, flow=flow,
                          point=one.point, author=AUTHOR, hypothesis=said(one.claim), parents=one.parents)
            candidate = self._archive.add_candidate(draft)
            memory.hold(self._archive, candidate, one.claim)
            self._wait_for(candidate)
        self._ended[candidate.id].wait(self._wait_s)
        return candidate.id, self._refused.get(candidate.id)

    def work(self) -> None:
        """Judges what is handed in, until `close`."""
        while (candidate := self._waiting.get()) is not None:
            waiting = _Waiting(candidate)
            try:
                self._judge_all(waiting)
            except Stopped:
                return
            # It stays unjudged in the archive, and is taken up again when the next server starts.
            except VortexError as error:
                self._end(waiting.candidate, error)

    def close(self) -> None:
        """Ends `work` at the next row."""
        self._closing.set()
        self._waiting.put(None)

    def _judge_all(self, waiting: "_Waiting") -> None:
        with opened(self._campaign, self._ready.geometry, self._archive, _Listening(self._closing)) as loop:
            self._archive.set_state(self._campaign.name, "running")
            try:
                loop.controls()
                for candidate in self._more(waiting):
                    loop.enter(candidate, None)
                    self._end(candidate, None)
            finally:
                self._account(loop)

    def _more(self, waiting: "_Waiting") -> Iterator[Candidate]:
        """The first, and those that come while the engine is warm."""
        yield waiting.candidate
        while True:
            try:
                found = self._waiting.get(timeout=IDLE_S)
            except queue.Empty:
                return
            if found is None:
                raise Stopped
            waiting.candidate = found
            yield found

    def _account(self, loop: Loop) -> None:
        full = next(self._free(), None) is None
        self._archive.set_state(self._campaign.name, "finished" if full else "stopped")
        loop.account()

    def _wait_for(self, candidate: Candidate) -> None:
        self._ended[candidate.id] = threading.Event()
        self._waiting.put(candidate)

    def _end(self, candidate: Candidate, refused: VortexError | None) -> None:
        if refused is not None:
            self._refused[candidate.id] = refused
        self._ended[candidate.id].set()

    def _place(self) -> tuple[int, int]:
        """Raises BudgetSpent."""
        name = self._campaign.name
        if spent_s(self._archive, name) >= 60 * self._campaign.minutes:
            raise BudgetSpent(f"the {self._campaign.minutes:g} minutes of {name} are used up", hint=_ANOTHER)
        place = next(self._free(), None)
        if place is None:
            raise BudgetSpent(f"all {self._campaign.candidates} places of {name} are taken", hint=_ANOTHER)
        return place

    def _free(self) -> Iterator[tuple[int, int]]:
        """Places that no round of the search has begun to fill: a round that was begun is proposed again as it was."""
        by_round: dict[int, list[Candidate]] = {}
        for one in self._archive.candidates(self._campaign.name):
            by_round.setdefault(one.round, []).append(one)
        left, size = self._campaign.candidates, self._campaign.round_size
        for number in range(max(by_round, default=0) or 1, -(-left // size) + 1):
            mine = by_round.get(number, [])
            if all(one.author == AUTHOR for one in mine):
                yield from ((number, slot) for slot in range(len(mine), min(size, left - (number - 1) * size)))


_ANOTHER = "Start another campaign with a larger [budget], and name it with --campaign."


class _Waiting:
    """The candidate that is being judged."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate


class _Listening(Quiet):
    """Ends the work between two rows once the server is closing."""

    def __init__(self, closing: threading.Event) -> None:
        self._closing = closing

    def stage_started(self, stage: str, done: int, total: int) -> None:
        self._check()

    def row(self, row: Row, done: int, total: int) -> None:
        self._check()

    def _check(self) -> None:
        if self._closing.is_set():
            raise Stopped
