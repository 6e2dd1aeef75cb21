"""Between the tables' rows and the frozen records the rest of the platform speaks of."""
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args

from evaluator.report import Estimate, Row, StageResult, Status
from search.candidate import Candidate, FlowRecord, Tier
from search.store.tables import CampaignRow, CandidateRow, EventRow, FlowRow, PointRow, ProblemRow, StageResultRow
from vortex.config import make_point

State: TypeAlias = Literal["running", "stopped", "finished"]


@dataclass(frozen=True, kw_only=True)
class CampaignRecord:
    """A campaign as it was started: the text of its file, the settings it came to, and where it stands."""

    id: int
    name: str
    text: str
    settings: Mapping[str, Any]
    seed: int
    state: State
    created_at: float


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something the loop did, at a time in seconds since the epoch."""

    kind: str
    data: Mapping[str, Any]
    created_at: float


def campaign_of(row: CampaignRow) -> CampaignRecord:
    return CampaignRecord(id=row.id, name=row.name, text=row.text, settings=row.settings, seed=row.seed,
                          state=checked_state(row.state), created_at=row.created_at)


def checked_state(name: str) -> State:
    states: tuple[State, ...] = get_args(State)
    return next(state for state in states if state == name)


def checked_tier(name: str) -> Tier:
    tiers: tuple[Tier, ...] = get_args(Tier)
    return next(tier for tier in tiers if tier == name)


def candidate_of(row: CandidateRow, flow: FlowRow, point: PointRow, campaign: str,
                 contents: Mapping[str, bytes]) -> Candidate:
    return Candidate(
        id=row.id, campaign=campaign, round=row.round, slot=row.slot, name=row.name, author=row.author,
        hypothesis=row.hypothesis, parents=tuple(row.parents), tier=checked_tier(row.tier),
        flow=FlowRecord(hash=flow.hash, name=flow.name, source=flow.source, graph_json=flow.graph_json,
                        contents=contents),
        point=make_point(json.loads(point.settings)), status=None if row.status is None else Status(row.status),
        duplicate_of=row.duplicate_of, created_at=row.created_at)


def row_of(row: ProblemRow) -> Row:
    return Row(stage=row.stage, problem=row.problem, repeat=row.repeat, score=row.score, exact=row.exact,
               seconds=row.seconds, data=row.data)


def result_of(row: StageResultRow) -> StageResult:
    return StageResult(stage=row.stage, status=Status(row.status), code=row.code, message=row.message, facts=row.facts,
                       metrics={name: Estimate(**value) for name, value in row.metrics.items()})


def result_values(result: StageResult) -> dict[str, Any]:
    return {"stage": result.stage, "status": result.status.value, "code": result.code, "message": result.message,
            "metrics": {name: asdict(value) for name, value in result.metrics.items()}, "facts": dict(result.facts)}


def event_of(row: EventRow) -> Event:
    return Event(kind=row.kind, data=row.data, created_at=row.created_at)


def digest(*parts: str | None) -> str:
    """32 hex digits that tell texts apart."""
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()
