"""The history of the tables, one alembic revision a change; it travels inside the wheel."""
