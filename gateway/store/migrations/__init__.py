"""Alembic migrations of the schema, run by `store.upgrade`."""
