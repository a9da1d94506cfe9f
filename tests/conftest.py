"""What every test may rely on: the fixtures of the postroom, and logs of real servers in the report of a failure.

Loaded by pytest itself. All tests of one file stay on one pytest-xdist worker (`--dist loadfile`), so that its
servers start once, and what is told in order stays in order. Nothing here knows the gateway.
"""

from collections.abc import Generator

import pytest
from postroom.server import LIVE

pytest_plugins = ["postroom.fixtures"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the end of every live server's log to the report of a test that failed."""
    report = yield
    if report.failed:
        report.sections += [(f"log of {server.name}", server.tail()) for server in LIVE if server.log.exists()]
    return report
