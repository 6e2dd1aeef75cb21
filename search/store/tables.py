"""The tables of the archive. A change here needs a new revision under migrations/versions."""
import json
from typing import Any

from sqlalchemy import BigInteger, Dialect, Double, ForeignKey, Index, Text, TypeDecorator, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class JsonText(TypeDecorator[Any]):
    """JSON as text that Python wrote: floats come back bit for bit, not-a-number included, from every database."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        return json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return json.loads(value)


class Base(DeclarativeBase):
    type_annotation_map = {str: Text, float: Double, dict[str, Any]: JsonText, list[int]: JsonText}  # noqa: RUF012


class CampaignRow(Base):
    """`holder` names the process that runs it now: empty when none does. `secret` is shown to nobody."""

    __tablename__ = "campaigns"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    text: Mapped[str]
    settings: Mapped[dict[str, Any]]
    seed: Mapped[int] = mapped_column(BigInteger)
    secret: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    state: Mapped[str]
    created_at: Mapped[float]
    holder: Mapped[str] = mapped_column(default="")
    holder_host: Mapped[str] = mapped_column(default="")
    holder_pid: Mapped[int] = mapped_column(default=0)
    heartbeat_at: Mapped[float] = mapped_column(default=0.0)


class FlowRow(Base):
    """One text of a flow. Texts of one meaning share `hash`; `text_hash` tells them apart."""

    __tablename__ = "flows"

    id: Mapped[int] = mapped_column(primary_key=True)
    text_hash: Mapped[str] = mapped_column(unique=True)
    hash: Mapped[str] = mapped_column(index=True)
    name: Mapped[str]
    source: Mapped[str]
    graph_json: Mapped[str | None]


class ContentRow(Base):
    """The float32 numbers of a parameter, little-endian."""

    __tablename__ = "contents"

    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(unique=True)
    data: Mapped[bytes]


class FlowContentRow(Base):
    """A flow asks for a content; its graph_json says under which file and key."""

    __tablename__ = "flow_contents"

    flow_id: Mapped[int] = mapped_column(ForeignKey("flows.id"), primary_key=True)
    content_id: Mapped[int] = mapped_column(ForeignKey("contents.id"), primary_key=True)


class PointRow(Base):
    __tablename__ = "points"

    id: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[str] = mapped_column(unique=True)
    settings: Mapped[str]


class CandidateRow(Base):
    __tablename__ = "candidates"
    __table_args__ = (UniqueConstraint("campaign_id", "round", "slot"),
                      Index("ix_candidates_pair", "flow_id", "point_id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id"))
    round: Mapped[int]
    slot: Mapped[int]
    name: Mapped[str]
    flow_id: Mapped[int] = mapped_column(ForeignKey("flows.id"))
    point_id: Mapped[int] = mapped_column(ForeignKey("points.id"))
    author: Mapped[str]
    hypothesis: Mapped[str]
    parents: Mapped[list[int]]
    tier: Mapped[str]
    status: Mapped[str | None]
    duplicate_of: Mapped[int | None] = mapped_column(ForeignKey("candidates.id"))
    created_at: Mapped[float]


class EnvironmentRow(Base):
    """Where a stage was measured: hardware and versions."""

    __tablename__ = "environments"

    id: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[str] = mapped_column(unique=True)
    record: Mapped[dict[str, Any]]


class StageResultRow(Base):
    __tablename__ = "stage_results"
    __table_args__ = (UniqueConstraint("candidate_id", "stage"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidates.id"))
    environment_id: Mapped[int | None] = mapped_column(ForeignKey("environments.id"))
    stage: Mapped[str]
    status: Mapped[str]
    code: Mapped[str]
    message: Mapped[str]
    metrics: Mapped[dict[str, Any]]
    facts: Mapped[dict[str, Any]]


class ProblemRow(Base):
    """One problem of one stage, judged once."""

    __tablename__ = "rows"
    __table_args__ = (UniqueConstraint("candidate_id", "stage", "problem", "repeat"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidates.id"))
    stage: Mapped[str]
    problem: Mapped[str]
    repeat: Mapped[int]
    score: Mapped[float]
    exact: Mapped[float]
    seconds: Mapped[float]
    data: Mapped[dict[str, Any]]


class EventRow(Base):
    """Append-only: what the loop did and when."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(primary_key=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id"), index=True)
    kind: Mapped[str]
    data: Mapped[dict[str, Any]]
    created_at: Mapped[float]


class TextRow(Base):
    """What was said in calls, in parts of JSON: each is kept once, however often it is said again."""

    __tablename__ = "texts"

    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(unique=True)
    text: Mapped[str]


class CallRow(Base):
    """One attempt at a call of a language model. Money is in billionths of a dollar; what was said is in `texts`."""

    __tablename__ = "calls"
    __table_args__ = (UniqueConstraint("campaign_id", "key", "attempt"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id"))
    key: Mapped[str]
    attempt: Mapped[int]
    proposer: Mapped[str]
    model: Mapped[str]
    state: Mapped[str]
    process: Mapped[str]
    reserved_nanos: Mapped[int] = mapped_column(BigInteger)
    reserved_tokens: Mapped[int]
    nanos: Mapped[int] = mapped_column(BigInteger, default=0)
    input: Mapped[int] = mapped_column(default=0)
    output: Mapped[int] = mapped_column(default=0)
    cache_read: Mapped[int] = mapped_column(default=0)
    cache_write: Mapped[int] = mapped_column(default=0)
    seconds: Mapped[float] = mapped_column(default=0.0)
    created_at: Mapped[float]
    code: Mapped[str] = mapped_column(default="")
    message: Mapped[str] = mapped_column(default="")
    price: Mapped[dict[str, Any]]
    ask: Mapped[dict[str, Any]]
    answer: Mapped[str | None]


class NoteRow(Base):
    """What a campaign remembers beside its measurements."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id"), index=True)
    candidate_id: Mapped[int | None] = mapped_column(ForeignKey("candidates.id"))
    kind: Mapped[str]
    text: Mapped[str]
    data: Mapped[dict[str, Any]]
    pinned: Mapped[bool]
    vetoed: Mapped[bool]
    created_at: Mapped[float]
