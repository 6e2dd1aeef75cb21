"""A campaign says which process runs it, so that a second one is refused."""
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for name in ("holder", "holder_host"):
        op.add_column("campaigns", sa.Column(name, sa.Text, nullable=False, server_default=""))
    op.add_column("campaigns", sa.Column("holder_pid", sa.Integer, nullable=False, server_default="0"))
    op.add_column("campaigns", sa.Column("heartbeat_at", sa.Double, nullable=False, server_default="0"))
