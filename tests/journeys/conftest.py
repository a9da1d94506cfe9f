"""Fixtures of the journeys: a place to open a house in, on SQLite and on PostgreSQL; and pages over a seeded inbox.

A template is filled once per session (schema, keys, tenants) and copied for each test, which is quick. Asking for
`place` runs the test once on each database. The pages' fixtures belong to a file: its tests see what they changed. A
file whose `seeded` is `seeded_on_each` runs on both databases.
"""

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from journeys.bench_settings import make_bench
from journeys.house import Place, copy_folder, fill_place
from journeys.inbox_seed import House
from journeys.pages import ORIGIN, Admin, Clock, Seed, Seeded
from postroom.postgres import Postgres

from gateway.settings.workshop import Workshop
from gateway.store.database import Database
from gateway.web.app import make_app


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


# -- pages


@pytest.fixture(scope="session")
def sqlite_seed(tmp_path_factory: pytest.TempPathFactory) -> Seed:
    """A seeded SQLite database to be copied."""
    folder = tmp_path_factory.mktemp("seed")
    made, names = folder / "gateway.db", itertools.count()

    def copy_to() -> str:
        return f"sqlite:///{shutil.copy(made, folder / f'copy{next(names)}.db')}"

    return Seed(f"sqlite:///{made}", copy_to)


@pytest.fixture(scope="session")
def postgres_seed(postgres: Postgres) -> Seed:
    """A seeded PostgreSQL database to be copied."""
    name = postgres.create_template("pages", lambda url: None)
    return Seed(postgres.url(name), lambda: postgres.create_database(name))


@pytest.fixture(scope="module")
def seeded(sqlite_seed: Seed) -> Iterator[Seeded]:
    """A seeded database of this file alone."""
    yield from sqlite_seed.open()


@pytest.fixture(scope="module", params=["sqlite_seed", "postgres_seed"])
def seeded_on_each(request: pytest.FixtureRequest) -> Iterator[Seeded]:
    """The same, one after the other on both."""
    yield from request.getfixturevalue(request.param).open()


@pytest.fixture(scope="module")
def database(seeded: Seeded) -> Database:
    """The seeded database."""
    return seeded.database


@pytest.fixture(scope="module")
def house(seeded: Seeded) -> House:
    """The ids of what is in it."""
    return seeded.house


@pytest.fixture(scope="module")
def workshop(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """What the settings' pages work with."""
    with make_bench(database, tmp_path_factory.mktemp("bench"), Clock()) as made:
        yield made


@pytest.fixture
def clock() -> Clock:
    """The time of the pages."""
    return Clock()


@pytest.fixture
def app(database: Database, clock: Clock, workshop: Workshop) -> FastAPI:
    """The pages."""
    return make_app(database, clock=clock, public_url=ORIGIN, workshop=workshop)


@pytest.fixture
def admin(app: FastAPI) -> Admin:
    """An administrator of alfa who is logged in."""
    return Admin(app)
