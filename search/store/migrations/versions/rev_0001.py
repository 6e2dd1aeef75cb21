"""The first tables: campaigns, flows, points, candidates, results, rows, environments, events."""
import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _identity(name: str, *columns: sa.schema.SchemaItem) -> None:
    op.create_table(name, sa.Column("id", sa.Integer, primary_key=True), *columns)


def _link(name: str, table: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, sa.ForeignKey(f"{table}.id"), nullable=nullable)


def _text(name: str, *, unique: bool = False, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, unique=unique, nullable=nullable)


def _whole(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False)


def _real(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=False)


def upgrade() -> None:
    _identity("campaigns", _text("name", unique=True), _text("text"), _text("settings"),
              sa.Column("seed", sa.BigInteger, nullable=False), _text("state"), _real("created_at"))
    _identity("flows", _text("text_hash", unique=True), _text("hash"), _text("name"), _text("source"),
              _text("graph_json", nullable=True))
    op.create_index("ix_flows_hash", "flows", ["hash"])
    _identity("points", _text("hash", unique=True), _text("settings"))
    _identity("candidates", _link("campaign_id", "campaigns"), _whole("round"), _whole("slot"), _text("name"),
              _link("flow_id", "flows"), _link("point_id", "points"), _text("author"), _text("hypothesis"),
              _text("parents"), _text("tier"), _text("status", nullable=True),
              _link("duplicate_of", "candidates", nullable=True), _real("created_at"),
              sa.UniqueConstraint("campaign_id", "round", "slot"))
    op.create_index("ix_candidates_pair", "candidates", ["flow_id", "point_id"])
    _identity("environments", _text("hash", unique=True), _text("record"))
    _identity("stage_results", _link("candidate_id", "candidates"),
              _link("environment_id", "environments", nullable=True), _text("stage"), _text("status"),
              _text("code"), _text("message"), _text("metrics"), _text("facts"),
              sa.UniqueConstraint("candidate_id", "stage"))
    _identity("rows", _link("candidate_id", "candidates"), _text("stage"), _text("problem"), _whole("repeat"),
              _real("score"), _real("exact"), _real("seconds"), _text("data"),
              sa.UniqueConstraint("candidate_id", "stage", "problem", "repeat"))
    _identity("events", _link("campaign_id", "campaigns"), _text("kind"), _text("data"), _real("created_at"))
    op.create_index("ix_events_campaign_id", "events", ["campaign_id"])
