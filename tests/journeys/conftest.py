"""Fixtures of the journeys: a place to open a house in, on SQLite and on PostgreSQL.

A template is filled once per session (schema, keys, tenants) and copied for each test, which is quick. Asking for
`place` runs the test once on each database.
"""

from pathlib import Path

import pytest
from journeys.house import Place, copy_folder, fill_place
from postroom.postgres import Postgres


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a filled SQLite database."""
    folder = tmp_path_factory.mktemp("sqlite-template")
    fill_place(Place(folder, ""))
    return folder


@pytest.fixture(scope="session")
def postgres_template(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> tuple[Path, str]:
    """A data folder and the name of a filled PostgreSQL database."""
    folder = tmp_path_factory.mktemp("postgres-template")
    return folder, postgres.create_template("journeys", lambda url: fill_place(Place(folder, url)))


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A filled database and its data folder, for this test alone."""
    folder = tmp_path / "data"
    if request.param == "sqlite":
        copy_folder(request.getfixturevalue("sqlite_template"), folder)
        return Place(folder, "")
    template, name = request.getfixturevalue("postgres_template")
    copy_folder(template, folder)
    return Place(folder, request.getfixturevalue("postgres").create_database(name))
