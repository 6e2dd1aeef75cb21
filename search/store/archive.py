"""The archive: campaigns, their candidates, and what was measured; each write is whole and on disk when it returns."""
import json
import secrets
import time
from collections import defaultdict
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, or_, select

from evaluator.report import Report, Row, StageResult, Status
from search.candidate import DENSE, EXAMS, Candidate, Draft, Entry, Tier, without_exams
from search.store.book import CandidateBook
from search.store.connect import check_file, make_engine, place_of
from search.store.contents import by_digest, content_id
from search.store.convert import (
    CampaignRecord,
    Event,
    State,
    campaign_of,
    digest,
    event_of,
    result_of,
    row_of,
)
from search.store.database import Database
from search.store.lease import Lease, hold
from search.store.ledger import Ledger
from search.store.lookup import added, campaign_row, candidate_in, candidates_in, flow_id, joined, point_id, scores
from search.store.migrate import prepare
from search.store.notes import Note, NoteKind, add, change, notes_in
from search.store.tables import (
    CampaignRow,
    CandidateRow,
    EnvironmentRow,
    EventRow,
    FlowRow,
    PointRow,
    ProblemRow,
    StageResultRow,
)
from vortex.errors import ArchiveError, CampaignError


def open_archive(where: str | Path, create: bool = True) -> "Archive":
    """Opens a file or URL: makes it on first use, migrates an older one after a copy. Raises ArchiveError."""
    place = place_of(where)
    if place.path is not None:
        check_file(place.path, create)
    engine = make_engine(place)
    try:
        prepare(engine, place)
    except ArchiveError:
        engine.dispose()
        raise
    return Archive(Database(engine, place))


@dataclass(frozen=True)
class Archive:
    """Methods that write raise ArchiveError when the database cannot go on; what was written before stays."""

    database: Database

    def close(self) -> None:
        self.database.engine.dispose()

    # campaigns

    def create_campaign(self, name: str, text: str, settings: Mapping[str, Any], seed: int) -> CampaignRecord:
        """Raises CampaignError when the name is taken."""
        with self.database.write() as session:
            if session.scalar(select(CampaignRow.id).filter_by(name=name)) is not None:
                raise CampaignError(f"there is a campaign {name} already", hint="Give it another name, or resume it.")
            row = CampaignRow(name=name, text=text, settings=dict(settings), seed=seed, state="running",
                              secret=secrets.randbits(63), created_at=time.time())
            added(session, row)
            return campaign_of(row)

    def campaign(self, name: str) -> CampaignRecord | None:
        with self.database.read() as session:
            row = session.scalar(select(CampaignRow).filter_by(name=name))
            return None if row is None else campaign_of(row)

    def campaigns(self) -> tuple[CampaignRecord, ...]:
        """Oldest first."""
        with self.database.read() as session:
            return tuple(campaign_of(row) for row in session.scalars(select(CampaignRow).order_by(CampaignRow.id)))

    def latest_campaign(self) -> CampaignRecord | None:
        return next(iter(reversed(self.campaigns())), None)

    def secret(self, name: str) -> int:
        """What the campaign's exams are drawn from. It is told to no proposer and printed nowhere. Raises CampaignError."""
        with self.database.read() as session:
            return campaign_row(session, name).secret

    def set_state(self, name: str, state: State) -> None:
        with self.database.write() as session:
            campaign_row(session, name).state = state

    def hold(self, name: str) -> AbstractContextManager[Lease]:
        """For the block, this process alone runs the campaign. Raises CampaignError naming who holds it."""
        return hold(self.database, name)

    # candidates

    def add_candidate(self, draft: Draft) -> Candidate:
        """The first candidate of a (campaign, round, slot) stays and is returned again."""
        with self.database.write() as session:
            campaign = campaign_row(session, draft.campaign)
            known = select(CandidateRow.id).filter_by(campaign_id=campaign.id, round=draft.round, slot=draft.slot)
            return candidate_in(session, session.scalar(known) or added(session, CandidateRow(
                campaign_id=campaign.id, round=draft.round, slot=draft.slot, name=draft.name, author=draft.author,
                hypothesis=draft.hypothesis, parents=list(draft.parents), tier=draft.tier, created_at=time.time(),
                flow_id=flow_id(session, draft.flow), point_id=point_id(session, draft.point))), self.database.contents)

    def candidate(self, id: int) -> Candidate | None:
        with self.database.read() as session:
            found = candidates_in(session, joined().where(CandidateRow.id == id), self.database.contents)
        return found[0] if found else None

    def candidates(self, campaign: str) -> tuple[Candidate, ...]:
        """In the order of round and slot."""
        query = joined().where(CampaignRow.name == campaign).order_by(CandidateRow.round, CandidateRow.slot)
        with self.database.read() as session:
            return candidates_in(session, query, self.database.contents)

    def find_hash(self, campaign: str, graph_hash: str, point_hash: str) -> Candidate | None:
        """The first candidate of the campaign with this flow at this point."""
        query = joined().where(CampaignRow.name == campaign, FlowRow.hash == graph_hash, PointRow.hash == point_hash)
        with self.database.read() as session:
            first = query.order_by(CandidateRow.round, CandidateRow.slot).limit(1)
            found = candidates_in(session, first, self.database.contents)
        return found[0] if found else None

    def finish(self, candidate: Candidate, status: Status, duplicate_of: int | None = None,
               tier: Tier | None = None) -> Candidate:
        """Says how a candidate ended, and which tier it reached where that changed."""
        with self.database.write() as session:
            row = session.get_one(CandidateRow, candidate.id)
            row.status, row.duplicate_of, row.tier = status.value, duplicate_of, tier or row.tier
            session.flush()
            return candidate_in(session, candidate.id, self.database.contents)

    # measurements

    def book(self, candidate: Candidate, environment: int | None = None) -> CandidateBook:
        """Where the funnel writes; it satisfies evaluator.funnel.Book."""
        return CandidateBook(self.database, candidate, self._dense_id(candidate), environment)

    def report(self, candidate: Candidate) -> Report:
        query = select(StageResultRow).filter_by(candidate_id=candidate.id).order_by(StageResultRow.id)
        with self.database.read() as session:
            return Report(results=tuple(result_of(row) for row in session.scalars(query)))

    def rows(self, candidate: Candidate) -> tuple[Row, ...]:
        """In the order in which they came."""
        query = select(ProblemRow).filter_by(candidate_id=candidate.id).order_by(ProblemRow.id)
        with self.database.read() as session:
            return tuple(row_of(row) for row in session.scalars(query))

    def entries(self, campaign: str, *, exams: bool = False) -> tuple[Entry, ...]:
        """All candidates with their reports, and the rows, without their data, of those that ended ok or came to an exam.

        What exams found is left out unless asked for, tiers and faults too: a search that saw it would choose by it.
        """
        mine = select(CandidateRow.id).join(CampaignRow, CampaignRow.id == CandidateRow.campaign_id)
        mine = mine.where(CampaignRow.name == campaign)
        tried = select(StageResultRow.candidate_id).where(StageResultRow.stage.in_(EXAMS))
        judged = mine.where(or_(CandidateRow.status == Status.OK.value, CandidateRow.id.in_(tried)))
        results: dict[int, list[StageResult]] = defaultdict(list)
        rows: dict[int, list[Row]] = defaultdict(list)
        with self.database.read() as session:
            for result in session.scalars(select(StageResultRow).where(StageResultRow.candidate_id.in_(mine))
                                          .order_by(StageResultRow.id)):
                results[result.candidate_id].append(result_of(result))
            for candidate, row in scores(session, judged):
                rows[candidate].append(row)
        found = (Entry(candidate=one, report=Report(results=tuple(results[one.id])), rows=tuple(rows[one.id]))
                 for one in self.candidates(campaign))
        return tuple(found) if exams else tuple(map(without_exams, found))

    def takers(self, campaign: str, stage: str) -> int:
        """How many candidates, controls among them, have a result of this stage."""
        query = (select(func.count()).select_from(StageResultRow).join(CandidateRow).join(CampaignRow)
                 .where(CampaignRow.name == campaign, StageResultRow.stage == stage))
        with self.database.read() as session:
            return session.scalar(query) or 0

    def environment(self, record: Mapping[str, Any]) -> int:
        """The id of this hardware and these versions."""
        key = digest(json.dumps(dict(record), sort_keys=True))
        with self.database.write() as session:
            found = session.scalar(select(EnvironmentRow.id).filter_by(hash=key))
            return found or added(session, EnvironmentRow(hash=key, record=dict(record)))

    def environments(self, candidate: Candidate) -> tuple[Mapping[str, Any], ...]:
        """Where the candidate's stages were measured."""
        query = (select(EnvironmentRow).join(StageResultRow, StageResultRow.environment_id == EnvironmentRow.id)
                 .where(StageResultRow.candidate_id == candidate.id).order_by(EnvironmentRow.id).distinct())
        with self.database.read() as session:
            return tuple(row.record for row in session.scalars(query))

    # events

    def event(self, campaign: str, kind: str, data: Mapping[str, Any]) -> None:
        with self.database.write() as session:
            session.add(EventRow(campaign_id=campaign_row(session, campaign).id, kind=kind, data=dict(data),
                                 created_at=time.time()))

    def events(self, campaign: str) -> tuple[Event, ...]:
        """Oldest first."""
        query = select(EventRow).join(CampaignRow, CampaignRow.id == EventRow.campaign_id)
        with self.database.read() as session:
            found = session.scalars(query.where(CampaignRow.name == campaign).order_by(EventRow.id))
            return tuple(event_of(row) for row in found)

    # numbers of parameters that no candidate has asked for yet

    def keep(self, contents: Mapping[str, bytes]) -> None:
        """Once each, by digest."""
        with self.database.write() as session:
            for digest, data in contents.items():
                content_id(session, digest, data)

    def contents(self, digests: Collection[str]) -> Mapping[str, bytes]:
        """Those of them that are kept."""
        with self.database.read() as session:
            return by_digest(session, digests)

    # calls of language models, and notes

    def ledger(self, campaign: str) -> Ledger:
        """Raises CampaignError when there is no such campaign."""
        with self.database.read() as session:
            return Ledger(self.database, campaign_row(session, campaign).id)

    def notes(self, campaign: str) -> tuple[Note, ...]:
        """Oldest first, vetoed ones too."""
        with self.database.read() as session:
            return notes_in(session, campaign)

    def add_note(self, campaign: str, kind: NoteKind, text: str, *, data: Mapping[str, Any] | None = None,
                 pinned: bool = False, vetoed: bool = False, candidate: int | None = None) -> Note:
        """The first note of this kind, text and candidate stays and is given back: adding it again changes nothing."""
        with self.database.write() as session:
            return add(session, campaign, Note(id=0, kind=kind, text=text, data=data or {}, pinned=pinned, vetoed=vetoed,
                                               candidate=candidate))

    def change_note(self, id: int, *, pinned: bool | None = None, vetoed: bool | None = None, text: str | None = None,
                    data: Mapping[str, Any] | None = None) -> Note:
        """What is None stays. Raises CampaignError when there is no such note."""
        with self.database.write() as session:
            return change(session, id, {"pinned": pinned, "vetoed": vetoed, "text": text,
                                        "data": None if data is None else dict(data)})

    def _dense_id(self, candidate: Candidate) -> int | None:
        """The first dense control of the campaign on the same model and engine: dense decode knows no budget."""
        query = joined().where(CampaignRow.name == candidate.campaign, CandidateRow.tier == "control",
                               CandidateRow.name == DENSE).order_by(CandidateRow.id)
        with self.database.read() as session:
            controls = candidates_in(session, query, self.database.contents)
        return next((one.id for one in controls if (one.point.model, one.point.engine)
                     == (candidate.point.model, candidate.point.engine)), None)
