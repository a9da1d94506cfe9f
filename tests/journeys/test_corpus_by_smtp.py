"""E-invoices that others published, through the whole house: handed over by SMTP, and the delivered mail read back.

The mail's two bodies and the drawn PDF are held against an independent reading of the XML (`einvoice_oracle`). Counted
and printed: equal, refused with a reason, wrong. The whole corpus runs on SQLite, a few files on PostgreSQL too.
Skipped by name where the corpus is absent (AR_SHARED, or ../shared beside the checkout).
"""

import asyncio
import io
import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from email.message import EmailMessage
from email.policy import SMTP
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from journeys.house import PASSWORD, Journey, Place, copy_folder, open_journey
from journeys.letters import read, words
from pypdf import PdfReader

from gateway.store.database import Transaction
from gateway.store.template_settings import change_setting
from gateway.store.tenants import add_credential, add_tenant, set_tenant
from tests.unit.einvoice_oracle import facts
from tests.unit.test_einvoice_corpus import BROKEN, FILES, VALID

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not FILES, reason="the corpus of invoices is absent (AR_SHARED)"),
]

MONTHS = (
    "ianuarie", "februarie", "martie", "aprilie", "mai", "iunie", "iulie", "august", "septembrie", "octombrie",
    "noiembrie", "decembrie",
)  # fmt: skip
NUMBER = re.compile(r"[-−]?(?:[0-9]{1,3}(?:\.[0-9]{3})+|[0-9]+)(?:,[0-9]+)?(?![0-9])")
AT_ONCE = 6  # mails that are handed over together


@dataclass(frozen=True)
class Outcome:
    """What became of one file; `wrong` names what the mail says differently from the XML."""

    path: Path
    refused: str = ""
    wrong: tuple[str, ...] = ()


def mail(path: Path, alone: bool) -> bytes:
    """The file as a billing system hands it over: as an attachment, or alone as the body of the mail."""
    made = EmailMessage(policy=SMTP)
    made["From"], made["To"], made["Subject"] = "facturare@acme.test", "ana@client.test", path.name
    kind = ("application", "pdf" if path.suffix == ".pdf" else "xml")
    if alone:
        made.set_content(path.read_bytes(), *kind)
    else:
        made.set_content("Bună ziua!\n")
        made.add_attachment(path.read_bytes(), *kind, filename=path.name)
    return made.as_bytes()


def numbers(text: str) -> Counter[Decimal]:
    """How often each number stands in a text, written as one does in Romanian."""
    found = (one.replace(".", "").replace(",", ".").replace("−", "-") for one in NUMBER.findall(text))
    return Counter(Decimal(one).normalize() for one in found)


def day(iso: str) -> str:
    year, month, number = iso.split("-")
    return f"{int(number)} {MONTHS[int(month) - 1]} {year}"


def squeezed(text: str) -> str:
    """A text without its spaces, of which PDFs and line breaks have others."""
    return re.sub(r"[\s\u00a0\u200b\u00ad]+", "", text)


def lacking(told: dict[str, Any], text: str, items: list[Any]) -> list[str]:
    """What of the XML a text does not say."""
    bare, seen = squeezed(text), numbers(re.sub(r"(?<=[0-9])[\s\u00a0](?=[0-9])", "  ", text))
    missing = [name for name in ("number", "seller", "customer") if squeezed(told[name]) not in bare]
    dates = [name for name in ("issue_date", "due_date") if told[name] and squeezed(day(told[name])) not in bare]
    amounts = [
        name for name in ("net", "total", "balance") if told[name] is not None and not seen[told[name].normalize()]
    ]
    wanted = Counter(item["amount"].normalize() for item in items)
    return missing + dates + amounts + [f"line {amount}" for amount in wanted - seen]


async def hand_over(journey: Journey, number: int, path: Path, tenant: str) -> Outcome:
    recipient = f"c{number}@client.test"
    answer = await journey.submit(mail(path, alone=number % 3 == 0), recipient, tenant=tenant)
    if answer.code != 250:
        return Outcome(path, refused=answer.text)
    arrived = read((await journey.arrival(recipient)).raw)
    return Outcome(path, wrong=tuple(compare(arrived, path)))


def compare(arrived: EmailMessage, path: Path) -> list[str]:
    data = path.read_bytes()
    told = facts(data)
    files = {str(part.get_filename()): part.get_payload(decode=True) for part in arrived.iter_attachments()}
    pdf = next(content for content in files.values() if content.startswith(b"%PDF"))
    taxes = [tax for tax in told["taxes"] if tax["amount"]]
    shown = [*told["items"], *taxes]
    wrong = []
    if path.suffix == ".pdf":
        shown = shown if len(told["items"]) <= 20 else taxes
        wrong += ["the PDF was changed"] if pdf != data else []
    else:
        drawn = "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages)
        wrong += [f"PDF: {one}" for one in lacking(told, drawn, shown)]
        shown = shown if len(told["items"]) <= 20 else taxes
        wrong += ["the XML was changed"] if data not in files.values() else []
    html = re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<style.*?</style>", "", words(arrived, "html")))
    settled = told["balance"] is not None and told["balance"] <= 0  # thanks for the payment, and names no customer
    for name, text in (("text", words(arrived)), ("HTML", unescape(html))):
        wrong += [f"{name}: {one}" for one in lacking(told, text, shown) if not (settled and one == "customer")]
    return wrong


def run(place: Place, paths: list[Path]) -> list[Outcome]:
    """Hand over all files. Some have the same number: each tenant gets a number once, as from one billing system."""
    seen: Counter[str] = Counter()
    jobs = []
    for path in paths:
        number = str(facts(path.read_bytes())["number"])
        jobs.append((path, f"tenant{seen[number]}"))
        seen[number] += 1

    async def walk() -> list[Outcome]:
        gate = asyncio.Semaphore(AT_ONCE)
        async with open_journey(place, workers={"count": 2}) as journey:
            await journey.write(add_tenants, max(seen.values()))

            async def one(number: int, path: Path, tenant: str) -> Outcome:
                async with gate:
                    return await hand_over(journey, number, path, tenant)

            return await asyncio.gather(*(one(number, *job) for number, job in enumerate(jobs)))

    return asyncio.run(walk())


def add_tenants(tx: Transaction, count: int) -> None:
    """Companies that send by hand what is paid already, too: that template is off by default."""
    now = datetime.now(UTC)
    for number in range(count):
        made = add_tenant(tx, now, f"tenant{number}", "Acme Servicii SRL", contact_email="contabilitate@acme.test")
        set_tenant(tx, made.id)
        add_credential(tx, now, made.id, username=f"tenant{number}-billing", password=PASSWORD, label="")
        change_setting(tx, made.id, "paid_invoice", "", {"enabled": True})


@pytest.mark.timeout(400)
def test_every_valid_invoice_becomes_a_mail_that_says_the_same_and_every_broken_one_a_refusal(
    sqlite_template: Path, tmp_path: Path
) -> None:
    copy_folder(sqlite_template, tmp_path / "data")
    outcomes = run(Place(tmp_path / "data", ""), [*VALID, *BROKEN])
    refused = [one for one in outcomes if one.refused]
    wrong = [one for one in outcomes if one.wrong]
    print(f"{len(outcomes) - len(refused) - len(wrong)} equal, {len(refused)} refused, {len(wrong)} wrong")
    assert not wrong, "\n".join(f"{one.path.name}: {', '.join(one.wrong)}" for one in wrong)
    assert {one.path for one in refused} == set(BROKEN), [one for one in refused if one.path in VALID]
    assert all("5.6.0" in one.refused and "/" in one.refused for one in refused)


def test_some_of_each_kind_on_both_databases(place: Place) -> None:
    some = [next(path for path in VALID if path.name.endswith(end)) for end in ("ubl.xml", "cii.xml", ".pdf")]
    assert [(one.refused, one.wrong) for one in run(place, some)] == [("", ())] * 3
