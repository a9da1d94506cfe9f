"""What clerks do in the inbox, through its pages without a script: on SQLite, in one process."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from journeys.inbox_seed import House, open_house
from journeys.test_web import ORIGIN, Clock, log_in
from starlette.testclient import TestClient

from gateway.store.database import Database
from gateway.web.app import make_app


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    path: Path = tmp_path_factory.mktemp("inbox") / "gateway.db"
    opened = Database(f"sqlite:///{path}")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def house(database: Database) -> House:
    return open_house(database)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(database: Database, house: House, clock: Clock) -> FastAPI:
    return make_app(database, clock=clock, public_url=ORIGIN)


@pytest.fixture
def clerk(app: FastAPI) -> TestClient:
    return log_in(app, language="ro")


def test_images_load_only_when_asked_for_and_learn_of_no_page_of_ours(clerk: TestClient, house: House) -> None:
    thread, mail = house.threads["paid"], house.messages["answer"]
    page = clerk.get(f"/inbox/{thread}").text
    assert "?images=1" not in page and f"?images={mail}#" in page
    page = clerk.get(f"/inbox/{thread}?images={mail}").text
    assert re.findall(r'src="(/inbox/[^"]*)\?images=1"', page) == [f"/inbox/messages/{mail}/html"]
    answer = clerk.get(f"/inbox/messages/{mail}/html?images=1")
    policy = answer.headers["content-security-policy"]
    assert "img-src https: data:;" in policy and policy.startswith("sandbox; default-src 'none'")
    assert "allow-" not in policy and "script-src" not in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "http://t.example" not in answer.text and "<script" not in answer.text  # not by https: left out for good
