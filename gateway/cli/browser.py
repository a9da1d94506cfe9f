"""Pictures of a mail, taken by the Chromium that is installed: `gateway template preview --format png`.

Called by the command only; the gateway itself needs no browser. The page is a file of our own without scripts of
others. Says what to install when there is no Chromium, and then takes the first page of a PDF if poppler can.
"""

import os
import re
import shutil
import subprocess
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

import click

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SECONDS = 60
MAX_HEIGHT = 16_000  # pixels; what is longer is cut
_FLAGS = (
    "--headless", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-sync",
    "--disable-component-update", "--no-first-run", "--hide-scrollbars", "--font-render-hinting=none",
)  # fmt: skip
# A window is never as narrow as a phone; a frame within one is.
_RULER = """<!doctype html><iframe id="mail" width="{width}" height="100" style="border:0" srcdoc="{html}"></iframe>
<script>onload = () => document.body.dataset.height = document.getElementById("mail").contentDocument.documentElement
.scrollHeight</script>"""


def find_chromium() -> str:
    """The path of the browser; "" when there is none."""
    return next((found for name in CHROMIUM if (found := shutil.which(name))), "")


def picture(html: str, *, width: int, dark: bool) -> bytes:
    """The whole page as PNG, `width` pixels wide. Raises ClickException when there is no Chromium, or it fails."""
    program = find_chromium()
    if not program:
        raise click.ClickException(
            "a picture needs Chromium: apt-get install chromium; or ask for --format html or pdf"
        )
    with TemporaryDirectory() as folder:
        page, ruler, target = (Path(folder) / name for name in ("mail.html", "ruler.html", "mail.png"))
        page.write_text(html, "utf-8")
        ruler.write_text(_RULER.format(width=width, html=escape(html)), "utf-8")
        # a blink setting: 0 is dark, 1 is light, whatever the desktop prefers
        flags = [*_FLAGS, f"--user-data-dir={folder}/profile", f"--blink-settings=preferredColorScheme={int(not dark)}"]
        flags += ["--no-sandbox"] if os.geteuid() == 0 else []
        shown = _run([program, *flags, f"--window-size={width + 600},600", "--dump-dom", ruler.as_uri()])
        height = re.search(rb'data-height="(\d+)"', shown)
        size = f"{width},{min(int(height[1]), MAX_HEIGHT) if height else 1600}"
        _run([program, *flags, f"--window-size={size}", f"--screenshot={target}", page.as_uri()])
        if not target.exists():
            raise click.ClickException("Chromium took no picture; ask for --format html and open it in a browser")
        return target.read_bytes()


def first_page(pdf: bytes) -> bytes:
    """The first page of a PDF as PNG. Raises ClickException when poppler is not installed."""
    program = shutil.which("pdftoppm")
    if not program:
        raise click.ClickException(
            "a picture needs Chromium (apt-get install chromium) or poppler (apt-get install poppler-utils)"
        )
    with TemporaryDirectory() as folder:
        source, target = Path(folder) / "page.pdf", Path(folder) / "page"
        source.write_bytes(pdf)
        _run([program, "-png", "-r", "96", "-singlefile", str(source), str(target)])
        return target.with_suffix(".png").read_bytes()


def _run(command: list[str]) -> bytes:
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=True)
    except subprocess.TimeoutExpired:
        raise click.ClickException(f"{Path(command[0]).name} was not done within {SECONDS} s") from None
    except subprocess.CalledProcessError as error:
        last = (error.stderr or b"").decode("utf-8", "replace").strip().split("\n")[-1]
        raise click.ClickException(f"{Path(command[0]).name} failed: {last[:200]}") from None
    return done.stdout
