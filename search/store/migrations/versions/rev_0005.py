"""Each campaign has a secret that the problems of its exams are drawn from."""
import secrets

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("campaigns", sa.Column("secret", sa.BigInteger, nullable=False, server_default="0"))
    campaigns = sa.table("campaigns", sa.column("id", sa.Integer), sa.column("secret", sa.BigInteger))
    if op.get_context().as_sql:
        return                            # written out, there is no row to draw one for
    for id, in op.get_bind().execute(sa.select(campaigns.c.id)).all():
        op.execute(campaigns.update().where(campaigns.c.id == id).values(secret=secrets.randbits(63)))
