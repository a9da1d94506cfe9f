"""Billing runs and evidence in a real browser, at 360 px and with keys alone, in three languages: from the navigation
to a run's report and its CSV, and from a thread to the ZIP that proves its mail; axe-core finds no serious fault.

With GATEWAY_SCREENS set to a folder (`make screens`), pictures are written there, the evidence's first sheet too.
"""

import csv
import io
import subprocess
import zipfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from integration.screens import keep, picture
from integration.test_web_access import faults
from integration.test_web_chromium import Served
from integration.test_web_pages import Site
from journeys.bench_settings import make_bench
from journeys.inbox_seed import FULL, GREY, NOW, OK, UNKNOWN, House, attempt, come, open_house, send
from playwright.sync_api import Download, Page, expect
from postroom.chromium import Chromium
from postroom.programs import require

from gateway.inbox import promising
from gateway.mail.status import DeliveryStatus
from gateway.outbound.queue import settle
from gateway.outbound.retry import Retry
from gateway.store.database import Database, Transaction, to_ms

pytestmark = pytest.mark.integration
RUN, CLERK = "2026-11 facturi lunare", "maria@alfa.example"
SIZES = {RUN: 14, "2026-10 facturi lunare": 3}
SAID: tuple[DeliveryStatus, ...] = (UNKNOWN, FULL, GREY, OK)  # the first three of every seven fail or wait


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("runs")
    database = Database(f"sqlite:///{folder / 'gateway.db'}")
    house = open_house(database)
    database.write_now(bill, house)
    with make_bench(database, folder, lambda: NOW) as workshop:
        served = Served(database, workshop)
        yield Site(database, house, served)
        served.stop()
    database.close()


def bill(tx: Transaction, house: House) -> None:
    """Two runs: with bounces, what waits, an answer and a promise."""
    for month, (run, size) in reversed(list(enumerate(SIZES.items()))):  # the list is by when they were made
        at = NOW - timedelta(days=30 * month, hours=2)
        for number in range(size):
            name = f"{run} {number}"
            [made] = send(
                tx, house, name, at + timedelta(seconds=number), [f"contabil@firma{number}.example"], run=run,
                document=("invoice", f"inv_{month}_{number}", f"2026-{month}{number:03}"), amount="250.00",
                customer=f"Firma {number} SRL", subject=f"Cont de plată 2026-{month}{number:03}",
            )  # fmt: skip
            settle(tx, to_ms(at) + 900, made, attempt(SAID[min(number % 7, 3)] if not month else OK), Retry())
    answered, promised = (house.threads[f"{RUN} {number}"] for number in (3, 4))
    come(tx, house, "run answer", NOW, answered, "person", "Ana <contabil@firma3.example>", "Re: Cont", "Plătim azi.")
    promising.promise(tx, NOW, house.tenant, promised, date(2026, 12, 4), CLERK, amount="250.00")


def walk_to(page: Page, selector: str) -> None:
    """Press Tab until an element has the focus, as whoever has no mouse does."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"Tab never comes to {selector}")


def save(page: Page) -> Download:
    with page.expect_download() as awaited:
        page.keyboard.press("Enter")
    return awaited.value


def look(page: Page, name: str, language: str) -> None:
    """No serious fault and nothing wider than the screen, narrow and wide; a picture of each."""
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 800})
        picture(page, name, language, width)
        assert faults(page) == [], (name, width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)


@pytest.mark.parametrize("language", ["ro", "ru", "en"])
def test_a_run_is_read_and_its_recipients_are_saved_with_keys_alone(
    chromium: Chromium, site: Site, language: str
) -> None:
    with chromium.page(width=360, height=800) as page:
        complaints = site.enter(page, CLERK, language)
        page.goto(f"{site.served.url}/inbox")
        walk_to(page, 'nav.areas a[href="/runs"]')
        page.keyboard.press("Enter")
        expect(page.locator(".runs > li")).to_have_count(len(SIZES))
        look(page, "runs", language)
        page.keyboard.press("j")
        page.keyboard.press("o")
        expect(page.locator("h1")).to_have_text(RUN)
        look(page, "run", language)
        walk_to(page, 'a[href$="recipients.csv"]')
        saved = save(page)
        rows = list(csv.DictReader(io.StringIO(Path(saved.path()).read_text("utf-8-sig"))))
        assert len(rows) == SIZES[RUN] and saved.suggested_filename == f"run-{RUN}.csv"
        assert {row["outcome"] for row in rows} == {"accepted", "bounced", "waiting"}
        page.keyboard.press("u")
        expect(page.locator(".runs > li")).to_have_count(len(SIZES))
        assert complaints == []


@pytest.mark.parametrize("language", ["ro", "ru", "en"])
def test_the_proof_of_a_thread_is_saved_with_keys_alone(
    chromium: Chromium, site: Site, language: str, tmp_path: Path
) -> None:
    with chromium.page(width=360, height=800) as page:
        complaints = site.enter(page, CLERK, language)
        page.goto(f"{site.served.url}/inbox/{site.house.threads['paid']}")
        walk_to(page, "details:has(a[href$='/evidence.zip']) > summary")
        page.keyboard.press("Enter")
        walk_to(page, "a[href$='/evidence.zip']")
        kept = tmp_path / "evidence.zip"
        save(page).save_as(kept)
        assert complaints == []
    with zipfile.ZipFile(kept) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert {"manifest.json", "timeline.pdf"} <= set(names)
        assert [name for name in names if name.startswith("sent/") and name.endswith(".eml")]
        sheet = tmp_path / "timeline.pdf"
        sheet.write_bytes(archive.read("timeline.pdf"))
    subprocess.run([require("pdftoppm"), "-png", "-r", "80", "-singlefile", sheet, tmp_path / "sheet"], check=True)
    keep((tmp_path / "sheet.png").read_bytes(), f"evidence-{language}")
