"""Calls of language models, what was said in them, and the notes of a campaign."""
import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable)


def _whole(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False)


def _large(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _real(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=False)


def _link(name: str, table: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, sa.ForeignKey(f"{table}.id"), nullable=nullable)


def upgrade() -> None:
    op.create_table("texts", sa.Column("id", sa.Integer, primary_key=True),
                    sa.Column("digest", sa.Text, unique=True, nullable=False), _text("text"))
    op.create_table("calls", sa.Column("id", sa.Integer, primary_key=True), _link("campaign_id", "campaigns"),
                    _text("key"), _whole("attempt"), _text("proposer"), _text("model"), _text("state"), _text("process"),
                    _large("reserved_nanos"), _whole("reserved_tokens"), _large("nanos"), _whole("input"),
                    _whole("output"), _whole("cache_read"), _whole("cache_write"), _real("seconds"), _real("created_at"),
                    _text("code"), _text("message"), _text("price"), _text("ask"), _text("answer", nullable=True),
                    sa.UniqueConstraint("campaign_id", "key", "attempt"))
    op.create_table("notes", sa.Column("id", sa.Integer, primary_key=True), _link("campaign_id", "campaigns"),
                    _link("candidate_id", "candidates", nullable=True), _text("kind"), _text("text"), _text("data"),
                    sa.Column("pinned", sa.Boolean, nullable=False), sa.Column("vetoed", sa.Boolean, nullable=False),
                    _real("created_at"))
    op.create_index("ix_notes_campaign_id", "notes", ["campaign_id"])
