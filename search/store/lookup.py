"""Queries and inserts that several parts of the archive share; each works inside the session it is given."""
from collections.abc import Iterator
from typing import TypeAlias

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from evaluator.report import Row
from search.candidate import Candidate, FlowRecord
from search.store.contents import contents_of, keep
from search.store.convert import candidate_of, digest
from search.store.tables import CampaignRow, CandidateRow, EnvironmentRow, FlowRow, PointRow, ProblemRow
from vortex.config import OperatingPoint
from vortex.errors import CampaignError

Joined: TypeAlias = "Select[CandidateRow, FlowRow, PointRow, str]"


def joined() -> Joined:
    """Candidates with their flow, point and the name of their campaign."""
    return (select(CandidateRow, FlowRow, PointRow, CampaignRow.name)
            .join(FlowRow, FlowRow.id == CandidateRow.flow_id)
            .join(PointRow, PointRow.id == CandidateRow.point_id)
            .join(CampaignRow, CampaignRow.id == CandidateRow.campaign_id))


def candidates_in(session: Session, query: Joined, known: dict[str, bytes]) -> tuple[Candidate, ...]:
    """Those of `query`, in its order, with the contents they ask for; `known` holds contents read before."""
    contents = contents_of(session, query.with_only_columns(FlowRow.id), known)
    return tuple(candidate_of(*row, contents.get(row[1].id, {})) for row in session.execute(query))


def candidate_in(session: Session, id: int, known: dict[str, bytes]) -> Candidate:
    one, = candidates_in(session, joined().where(CandidateRow.id == id), known)
    return one


def campaign_row(session: Session, name: str) -> CampaignRow:
    """Raises CampaignError when there is none."""
    row = session.scalar(select(CampaignRow).filter_by(name=name))
    if row is None:
        raise CampaignError(f"there is no campaign {name}", hint="`vortex status` lists those of this database.")
    return row


def flow_id(session: Session, flow: FlowRecord) -> int:
    """The id of this very text, added when it is new."""
    key = digest(flow.hash, flow.name, flow.source, flow.graph_json)
    found = session.scalar(select(FlowRow.id).filter_by(text_hash=key))
    if found is None:
        found = added(session, FlowRow(text_hash=key, hash=flow.hash, name=flow.name, source=flow.source,
                                       graph_json=flow.graph_json))
        keep(session, found, flow.contents)
    return found


def point_id(session: Session, point: OperatingPoint) -> int:
    found = session.scalar(select(PointRow.id).filter_by(hash=point.hash))
    return found or added(session, PointRow(hash=point.hash, settings=point.model_dump_json()))


def scores(session: Session, candidates: "Select[int]") -> Iterator[tuple[int, Row]]:
    """The rows of `candidates` in the order in which they came, without their data, which may be long."""
    columns = (ProblemRow.candidate_id, ProblemRow.stage, ProblemRow.problem, ProblemRow.repeat, ProblemRow.score,
               ProblemRow.exact, ProblemRow.seconds)
    query = select(*columns).where(ProblemRow.candidate_id.in_(candidates)).order_by(ProblemRow.id)
    for candidate, stage, problem, repeat, score, exact, seconds in session.execute(query):
        yield candidate, Row(stage=stage, problem=problem, repeat=repeat, score=score, exact=exact, seconds=seconds)


def added(session: Session, row: CampaignRow | CandidateRow | EnvironmentRow | FlowRow | PointRow) -> int:
    session.add(row)
    session.flush()
    return row.id
