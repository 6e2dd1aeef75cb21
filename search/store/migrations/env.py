"""Alembic's entry: migrates over the connection that search.store.migrate opened, inside its transaction."""
from alembic import context

from search.store.migrate import VERSION_TABLE
from search.store.tables import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
