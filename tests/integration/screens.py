"""Pictures of the pages for docs/screens: taken by the tests that walk the pages, when GATEWAY_SCREENS names a folder.

Small enough to be kept: a palette of 64 colours, Romanian wide and Russian narrow, and the main ones in English.
"""

import io
import os
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

FOLDER = os.environ.get("GATEWAY_SCREENS", "")
KEPT = (("ro", 1280), ("ru", 360))
MAIN = ("inbox", "thread", "bounces", "documents", "document", "customers", "settings-templates", "settings-delivery",
        "runs", "run", "settings-webhooks", "settings-webhook")  # fmt: skip
TALLEST = 2400  # pixels; what is further down looks like what is above


def picture(page: Page, name: str, language: str = "ro", width: int = 1280) -> None:
    """Keep how a page looks, as `name-language-width.png`."""
    wanted = (language, width) in KEPT or ((language, width) == ("en", 1280) and name in MAIN)
    if FOLDER and wanted:
        keep(page.screenshot(full_page=True), f"{name}-{language}-{width}")


def keep(png: bytes, name: str) -> None:
    """Keep a picture, when pictures are wanted."""
    if not FOLDER:
        return
    Path(FOLDER).mkdir(parents=True, exist_ok=True)
    with Image.open(io.BytesIO(png)) as taken:
        whole = taken.convert("RGB").crop((0, 0, taken.width, min(taken.height, TALLEST)))
    small = whole.quantize(64, dither=Image.Dither.NONE)
    small.save(Path(FOLDER) / f"{name}.png", optimize=True)
