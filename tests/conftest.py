"""What every test may rely on: the fixtures of the postroom, and logs of real servers in the report of a failure.

Loaded by pytest itself. Integration tests of one file stay on one pytest-xdist worker, so that its session-wide
servers start once. Nothing here knows the gateway.
"""

from collections.abc import Generator

import pytest
from postroom.server import LIVE

pytest_plugins = ["postroom.fixtures"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With `--dist loadgroup`, keep together what shares servers, or an installation, by file."""
    for item in items:
        told_in_order = item.path.stem.startswith("test_cli")  # of one installation
        if (told_in_order or item.get_closest_marker("integration")) and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the end of every live server's log to the report of a test that failed."""
    report = yield
    if report.failed:
        report.sections += [(f"log of {server.name}", server.tail()) for server in LIVE if server.log.exists()]
    return report
