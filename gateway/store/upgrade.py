"""Bring a database's schema to this version: `gateway init` does, `serve` only looks.

Migrations go forward only; a gateway that is older than its database refuses to start.
"""

from importlib.resources import files

from sqlalchemy import Connection, Engine, inspect, text

HEAD = "0017"  # the newest migration; a test compares it with the files, so that looking need not load Alembic


def upgrade(engine: Engine) -> str:
    """Run the migrations that are missing, in one transaction; the revision after them."""
    from alembic import command  # a quarter of a second, for a command that is run once a version
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(files("gateway.store") / "migrations"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        connection.exec_driver_sql("BEGIN IMMEDIATE" if engine.dialect.name == "sqlite" else "BEGIN")
        try:
            command.upgrade(config, "head")
            connection.exec_driver_sql("COMMIT")
        except BaseException:
            connection.exec_driver_sql("ROLLBACK")
            raise
        return _revision(connection)


def outdated(engine: Engine) -> str:
    """Empty when the schema is this version's; else a sentence that says what to do."""
    with engine.connect() as connection:
        found = _revision(connection)
    if found == HEAD:
        return ""
    if not found:
        return "the database is empty; run `gateway init`"
    if found < HEAD:
        return f"the database has revision {found}, this gateway needs {HEAD}; run `gateway init` to upgrade it"
    return f"the database has revision {found}, which this gateway does not know; install a newer gateway"


def _revision(connection: Connection) -> str:
    if not inspect(connection).has_table("alembic_version"):
        return ""
    row = connection.execute(text("SELECT version_num FROM alembic_version")).first()
    return str(row[0]) if row else ""
