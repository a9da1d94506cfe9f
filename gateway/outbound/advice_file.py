"""An operator's own rules, read again when the file changes: on what a server's words ask of us, or why mail failed.

Made by `serve`; asked by `outbound.delivery` for every outcome that is not a success, and by `mail.reasons`. A file
that cannot be used leaves the rules as they were and is logged once per change; at the start it is refused in words.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

from gateway.mail.advice import read_advice
from gateway.mail.reasons import Rule

log = structlog.get_logger()

LOOK_SECONDS = 5.0


class AdviceFile:
    """The rules of one file. Raises ValueError or OSError when it cannot be read at first."""

    def __init__(
        self, path: Path, read: Callable[[str], tuple[Rule, ...]] = read_advice, setting: str = "delivery.advice"
    ) -> None:
        self._path = path
        self._read = read
        self._setting = setting  # named in the log
        self._changed_at = path.stat().st_mtime_ns
        self._rules = read(path.read_text("utf-8"))
        self._look_at = time.monotonic() + LOOK_SECONDS

    def __call__(self) -> Iterable[Rule]:
        """The rules as they are now."""
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            self._look()
        return self._rules

    def _look(self) -> None:
        try:
            changed_at = self._path.stat().st_mtime_ns if self._path.exists() else 0
            if changed_at == self._changed_at:
                return
            self._changed_at = changed_at
            self._rules = self._read(self._path.read_text("utf-8"))
            log.info("rules.read", setting=self._setting, path=str(self._path), rules=len(self._rules))
        except (OSError, ValueError) as error:
            log.error(
                "rules.unusable",
                setting=self._setting,
                path=str(self._path),
                error=str(error)[:300],
                effect="the old rules stay",
            )
