"""The numbers of parameters are kept once by digest, and flows say which they ask for."""
import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table("contents", sa.Column("id", sa.Integer, primary_key=True),
                    sa.Column("digest", sa.Text, unique=True, nullable=False),
                    sa.Column("data", sa.LargeBinary, nullable=False))
    op.create_table("flow_contents", sa.Column("flow_id", sa.Integer, sa.ForeignKey("flows.id"), primary_key=True),
                    sa.Column("content_id", sa.Integer, sa.ForeignKey("contents.id"), primary_key=True))
