"""Writes gallery/: each mail of gateway.outbound.gallery as pictures, on one page. Run by `make gallery`.

Needs Chromium and pdftoppm (poppler-utils). `python scripts/gallery.py [FOLDER]`, FOLDER being `gallery` by default;
what an earlier run left in it is replaced.
"""

import html
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]  # a script's own folder is what Python puts there

from postroom.chromium import Chromium  # noqa: E402
from postroom.programs import PACKAGES, find  # noqa: E402

from gateway.outbound.gallery import write_gallery, write_index  # noqa: E402

OURS = re.compile(r"\w+\.(ro|ru|en)\.[\w.-]+\Z|index\.html\Z|sections\.json\Z")
WIDTHS = {"light": (700, False), "dark": (700, True), "phone": (360, False), "phone-dark": (360, True)}


def main(target: Path) -> None:
    """Write the gallery to `target`."""
    for path in target.glob("*") if target.is_dir() else ():
        if OURS.match(path.name):
            path.unlink()
    names = write_gallery(ROOT / "tests/corpus/documents", target)
    take_pictures(target, names)
    for path in sorted(target.glob("*.pdf")):
        subprocess.run([_program("pdftoppm"), "-png", "-r", "90", path, path], check=True)
    sys.stdout.write(f"{len(names)} mails: {write_index(target)}\n")


def take_pictures(target: Path, names: list[str]) -> None:
    """NAME.VIEW.png of each mail's HTML and text, with one browser."""
    with Chromium(_program("chromium")).browser() as browser:
        for view, (width, dark) in WIDTHS.items():
            page = browser.new_page(viewport={"width": width, "height": 600}, color_scheme="dark" if dark else "light")
            for name in names:
                page.goto((target / f"{name}.html").resolve().as_uri())
                page.screenshot(path=str(target / f"{name}.{view}.png"), full_page=True)
            page.close()
        page = browser.new_page(viewport={"width": 760, "height": 600})
        for name in names:
            text = html.escape((target / f"{name}.txt").read_text("utf-8"))
            page.set_content(f'<pre style="margin:24px;font:14px/1.45 monospace">{text}</pre>')
            page.screenshot(path=str(target / f"{name}.text.png"), full_page=True)


def _program(name: str) -> Path:
    found = find(name)
    if found is None:
        sys.exit(f"{name} is not installed: apt-get install {PACKAGES[name]}")
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "gallery"))
