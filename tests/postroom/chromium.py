"""A real Chromium without a window: pictures of pages, and a browser that tests drive with Playwright.

Used through the fixture `chromium`. Each call starts a browser with a new profile and ends it: Playwright's
synchronous API keeps an event loop running in its thread while it is open, which a browser for the whole session
would leave in the way of every asyncio test. It is told to call nobody at home.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--font-render-hinting=none",
)


@dataclass(frozen=True)
class Chromium:
    """The browser's program, and what a test may ask of it."""

    path: Path

    @contextlib.contextmanager
    def browser(self) -> Iterator[Browser]:
        """A browser with a fresh profile, closed at the end. As root it has to run without its sandbox."""
        flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 or os.environ.get("CI") else [*FLAGS]
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=str(self.path), args=flags)
            try:
                yield browser
            finally:
                browser.close()

    @contextlib.contextmanager
    def page(self, *, width: int = 1280, height: int = 800, dark: bool = False) -> Iterator[Page]:
        """One page of a fresh browser, `width` x `height` pixels, in light or dark mode."""
        scheme: Literal["dark", "light"] = "dark" if dark else "light"
        with self.browser() as browser:
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.set_default_timeout(20_000)
            yield page

    def screenshot(self, source: str, png: Path, *, width: int = 1280, height: int = 800, dark: bool = False) -> Path:
        """Write a picture of the whole page, `source` being a URL (http:, https:, file:, data:) or HTML itself."""
        with self.page(width=width, height=height, dark=dark) as page:
            if source.split(":", 1)[0] in {"http", "https", "file", "data"}:
                page.goto(source)
            else:
                page.set_content(source)
            page.screenshot(path=str(png), full_page=True)
        return png
