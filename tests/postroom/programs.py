"""Where the programs of the postroom are, and what becomes of a test when one is missing.

Called by the fixtures before they start a server. A missing program, or missing rights, skips the test by name on a
laptop, with the line that installs it; where the environment variable CI is set it fails the test, so that no green
run hides a server that was never there.
"""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

PACKAGES = {
    "postfix": "postfix",
    "dovecot": "dovecot-imapd dovecot-lmtpd",
    "opendkim": "opendkim",
    "exim4": "libidn12; then scripts/setup.sh test",
    "rspamd": "rspamd",
    "postgres": "postgresql",
    "initdb": "postgresql",
    "chromium": "chromium",
    "pdftoppm": "poppler-utils",
    "pdftotext": "poppler-utils",
    "openssl": "openssl",
    "knotd": "knot",
    "kdig": "knot-dnsutils",
    "unbound": "unbound",
}
_UNPACKED = Path(__file__).resolve().parents[2] / ".servers" / "usr" / "sbin"  # by scripts/setup.sh
_MORE_PLACES = ("/usr/sbin", "/usr/local/sbin", "/sbin")


def require(program: str) -> Path:
    """The program's path; when it is not installed, the test is skipped (in CI: failed) by its name."""
    found = find(program)
    if found is None:
        missing(f"{program} is not installed: apt-get install {PACKAGES.get(program, program)}")
    return found


def find(program: str) -> Path | None:
    """The program's path or None; servers live in sbin and PostgreSQL in a folder per version, off many a PATH."""
    if program in {"postgres", "initdb"}:
        versions = Path("/usr/lib/postgresql").glob(f"*/bin/{program}")
        newest = max(versions, key=_major, default=None)
        if newest is not None and _major(newest) >= 15:
            return newest
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), *_MORE_PLACES, str(_UNPACKED)])
    path = shutil.which(program, path=places)
    return Path(path) if path else None


def require_root(program: str) -> None:
    """Skip (in CI: fail) by name unless we are root."""
    if os.geteuid() != 0:
        missing(f"{program} starts only as root")


def missing(reason: str) -> NoReturn:
    """Skip the test with the reason, or fail it where CI is set."""
    if os.environ.get("CI", "").lower() not in {"", "0", "false"}:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _major(program: Path) -> int:
    version = program.parent.parent.name
    return int(version) if version.isdigit() else 0
