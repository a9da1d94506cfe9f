"""The fixtures of the postroom, registered for every test by tests/conftest.py.

`postgres`, `dovecot` and `chromium` live as long as the session (of one pytest-xdist worker); the
`start_...` fixtures are functions that start servers as a test wants them, ended when that test ends.
"""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from postroom import dovecot as _dovecot
from postroom import exim as _exim
from postroom import hostile as _hostile
from postroom import opendkim as _opendkim
from postroom import postfix as _postfix
from postroom import postgres as _postgres
from postroom import rspamd as _rspamd
from postroom import submission as _submission
from postroom import unbound as _unbound
from postroom.chromium import Chromium
from postroom.programs import require

P = ParamSpec("P")
T = TypeVar("T")


@pytest.fixture(scope="session")
def postgres() -> Iterator[_postgres.Postgres]:
    """A PostgreSQL for the session: synchronous_commit=on, fsync=off. Take a database of your own from it."""
    with _postgres.start_postgres() as cluster:
        yield cluster


@pytest.fixture
def start_postgres() -> Iterator[Callable[..., _postgres.Postgres]]:
    """Start a PostgreSQL for this test alone: `start_postgres(durable=True)`."""
    with _starting(_postgres.start_postgres) as start:
        yield start


@pytest.fixture
def start_postfix() -> Iterator[Callable[..., _postfix.Postfix]]:
    """Start Postfixes for this test: see postroom.postfix.start_postfix."""
    with _starting(_postfix.start_postfix) as start:
        yield start


@pytest.fixture(scope="session")
def dovecot() -> Iterator[_dovecot.Dovecot]:
    """A Dovecot for the session; a test adds users of its own."""
    with _dovecot.start_dovecot() as server:
        yield server


@pytest.fixture
def start_dovecot() -> Iterator[Callable[..., _dovecot.Dovecot]]:
    """Start a Dovecot for this test alone: see postroom.dovecot.start_dovecot."""
    with _starting(_dovecot.start_dovecot) as start:
        yield start


@pytest.fixture
def start_submission() -> Iterator[Callable[..., _submission.Submission]]:
    """Start a company's submission server for this test: see postroom.submission.start_submission."""
    with _starting(_submission.start_submission) as start:
        yield start


@pytest.fixture
def start_exim() -> Iterator[Callable[..., _exim.Exim]]:
    """Start an Exim for this test: see postroom.exim.start_exim."""
    with _starting(_exim.start_exim) as start:
        yield start


@pytest.fixture
def start_hostile() -> Iterator[Callable[..., _hostile.Hostile]]:
    """Start hostile mail servers for this test: see postroom.hostile.start_hostile."""
    with _starting(_hostile.start_hostile) as start:
        yield start


@pytest.fixture
def start_opendkim() -> Iterator[Callable[..., _opendkim.OpenDkim]]:
    """Start an OpenDKIM for this test: see postroom.opendkim.start_opendkim."""
    with _starting(_opendkim.start_opendkim) as start:
        yield start


@pytest.fixture
def start_rspamd() -> Iterator[Callable[..., _rspamd.Rspamd]]:
    """Start an rspamd for this test: see postroom.rspamd.start_rspamd."""
    with _starting(_rspamd.start_rspamd) as start:
        yield start


@pytest.fixture
def start_dns() -> Iterator[Callable[..., _unbound.Dns]]:
    """Start a Knot with signed zones and a validating Unbound for this test: see postroom.unbound.start_dns."""
    with _starting(_unbound.start_dns) as start:
        yield start


@pytest.fixture(scope="session")
def chromium() -> Chromium:
    """Debian's Chromium, to look at pages with."""
    return Chromium(require("chromium"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The material given to the project, such as corpora: AR_SHARED, else the folder `shared` beside the checkout."""
    checkout = Path(__file__).resolve().parents[2]
    path = Path(os.environ.get("AR_SHARED") or checkout.parent / "shared")
    if not path.is_dir():
        pytest.skip(f"the given material is not at {path}: set AR_SHARED")
    return path


@contextlib.contextmanager
def _starting(start: Callable[P, AbstractContextManager[T]]) -> Iterator[Callable[P, T]]:
    """Turn a context manager into a plain function whose results all end with the fixture, the last one first."""
    with contextlib.ExitStack() as stack:

        @functools.wraps(start)
        def enter(*args: P.args, **kwargs: P.kwargs) -> T:
            return stack.enter_context(start(*args, **kwargs))

        yield enter
