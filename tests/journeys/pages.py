"""What the tests of the pages share: a seeded inbox's database as a copy, a clock to turn on, a browser that is in.

The fixtures that stand on it (`database`, `house`, `workshop`, `clock`, `app`, `admin`) are in `conftest`. The seed is
made once in a session for each database and copied for each file: what one file's tests change, no other file sees.
"""

import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from fastapi import FastAPI
from journeys.inbox_seed import NOW, House, open_house
from starlette.testclient import TestClient

from gateway.store.database import Database, Transaction
from gateway.store.users import find_user, start_session

ORIGIN = "http://127.0.0.1:8025"
FORM = {"origin": ORIGIN}


class Clock:
    """The time of the pages, which a test turns on."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclass(frozen=True)
class Seeded:
    """A seeded database, and the ids of what is in it."""

    database: Database
    house: House


class Seed:
    """The seed in one kind of database: made at once at `url`, and copied by `copy_to`, which tells the copy's URL."""

    def __init__(self, url: str, copy_to: Callable[[], str]) -> None:
        self._copy_to = copy_to
        database = Database(url)
        self._house = open_house(database)
        database.close()

    def open(self) -> Iterator[Seeded]:
        """A copy, open until the next step."""
        database = Database(self._copy_to())
        yield Seeded(database, copy.deepcopy(self._house))
        database.close()


class Admin:
    """A browser in which somebody is logged in; `post` sends a form of ours."""

    def __init__(self, app: FastAPI, email: str = "ion@alfa.example") -> None:
        self.browser, site = TestClient(app, base_url=ORIGIN, follow_redirects=False), app.state.site

        def start(tx: Transaction) -> tuple[str, str]:
            found = find_user(tx, email)
            assert found
            cookie, session = start_session(tx, NOW, found[0])
            return cookie, session.csrf

        cookie, self.csrf = site.database.write_now(start)
        self.browser.cookies.set(site.session_cookie, cookie, domain="127.0.0.1")

    def get(self, path: str) -> str:
        answer = self.browser.get(path)
        assert answer.status_code == 200, (path, answer.status_code)
        return answer.text

    def post(self, path: str, expect: int = 303, files: dict[str, tuple[str, bytes]] | None = None, **form: str) -> str:
        data = {"csrf": self.csrf, **form}
        answer = self.browser.post(path, data=data, files=files, headers=FORM)
        assert answer.status_code == expect, (
            path,
            answer.status_code,
            re.findall(r"role=.alert.>(.*?)<", answer.text, re.S),
        )
        return answer.text if expect != 303 else answer.headers["location"]
