"""Documents and customers on their pages, without a script: sent by hand, taken back, downloaded; addresses changed."""

import asyncio
import html
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi import FastAPI
from journeys.document_seed import DOCUMENTS, seed_documents
from journeys.inbox_seed import NOW, House
from journeys.pages import ORIGIN, Admin
from sqlalchemy import func, select

from gateway.settings.workshop import Workshop
from gateway.store.customers import list_contacts, opt_out
from gateway.store.database import Database, to_ms
from gateway.store.documents import get_document
from gateway.store.messages import get_message
from gateway.store.schema import delivery, event, message
from gateway.store.template_settings import change_setting

INVOICE = "/documents/invoice/1001"
FIELDS = ("document", "back", "key", "to", "cc", "bcc")


@pytest.fixture(scope="module", autouse=True)
def documents(workshop: Workshop, house: House) -> None:
    """Beside the inbox's own: documents in every state."""
    asyncio.run(seed_documents(workshop.door, house.tenant))


@pytest.fixture
def clerk(app: FastAPI) -> Admin:
    return Admin(app, "maria@alfa.example")


def row(page: str, number: str) -> str:
    """The row of a document."""
    return next(one for one in re.findall(r"<li>.*?</li>", page, re.S) if f">{number}<" in one)


def filled(clerk: Admin, id: str, back: str = "/documents?state=unpaid") -> dict[str, str]:
    """The form for sending a document, as it comes."""
    page = clerk.get(f"/documents/send?document=invoice/{id}&back={back}")
    form = {name: value(page, name) for name in FIELDS}
    for name in ("template", "language"):
        chosen = re.search(rf'<select name="{name}".*?<option value="([^"]*)" selected', page, re.S)
        assert chosen
        form[name] = chosen[1]
    return form


def value(page: str, name: str) -> str:
    found = re.search(rf'name="{name}"[^>]*? value="([^"]*)"', page.partition("<main")[2])
    assert found, name
    return html.unescape(found[1])


def sent_of(where: str) -> str:
    return parse_qs(urlsplit(where).query)["sent"][0]


def count(database: Database, table: Any = message) -> int:
    return int(database.read_now(lambda tx: tx.first(select(func.count()).select_from(table)))[0])


# -- the list


def test_an_active_document_has_both_icons_and_others_have_none(clerk: Admin) -> None:
    page = clerk.get("/documents")
    assert len(re.findall(r"<li>", page)) == len(DOCUMENTS) + 4  # those of the inbox's own seed
    for number, active in {"FA-1001": True, "FA-1005": True, "FA-1006": False, "FA-1007": False}.items():
        found = row(page, number)
        assert ('title="Trimite cont de plată plătitorului"' in found) is active, number
        assert ('title="Descărcați cont de plată în format PDF"' in found) is active, number
    assert 'href="/documents/invoice/a%2F1008"' in row(page, "FA-a/1008")
    assert "FA-a/1008" in clerk.get("/documents/invoice/a%2F1008")
    overdue = clerk.get("/documents?state=overdue")
    assert re.findall(r">(FA-\d+)<", overdue) == ["FA-1001", "FA-1002"]
    assert "Niciun document nu corespunde." in clerk.get("/documents?q=nothing-like-it")


def test_an_auditor_sees_them_and_sends_nothing(app: FastAPI) -> None:
    auditor = Admin(app, "audit@alfa.example")
    assert "/documents/send" not in auditor.get("/documents") + auditor.get(INVOICE)
    assert auditor.browser.get("/documents/send?document=invoice/1001").status_code == 403
    auditor.post("/documents/send", expect=403, document="invoice/1001", to="ana@codru.example")


def test_the_pdf_is_that_of_the_mail_and_a_draft_has_none(clerk: Admin) -> None:
    pdf = clerk.browser.get(f"{INVOICE}.pdf")
    assert pdf.status_code == 200 and pdf.content.startswith(b"%PDF-")
    assert pdf.headers["content-disposition"].startswith("attachment;")
    draft = clerk.browser.get("/documents/invoice/1006.pdf")
    assert draft.status_code == 409 and "ciornă" in draft.text


# -- sending


def test_a_document_is_sent_with_what_is_stored_on_it_and_comes_back(
    clerk: Admin, house: House, database: Database
) -> None:
    form = filled(clerk, "1001")
    assert (form["to"], form["cc"]) == ("Ana Rusu <ana@codru.example>", "ion@codru.example")
    assert (form["template"], form["language"]) == ("new_invoice", "ro")
    where = clerk.post("/documents/send", **form, personal="Vă mulțumim pentru comandă.")
    assert where.startswith("/documents?state=unpaid&")
    made = database.read_now(get_message, house.tenant, sent_of(where))
    assert made and (made.recipients, made.template) == ("ana@codru.example, ion@codru.example", "new_invoice")
    assert made.detail["personal"] == "Vă mulțumim pentru comandă." and made.credential_id == "maria@alfa.example"
    queued = select(delivery.c.next_attempt_at, delivery.c.state).where(delivery.c.message_id == made.id)
    assert {tuple(one) for one in database.read_now(lambda tx: tx.all(queued))} == {(to_ms(NOW) + 10_000, "queued")}
    assert _sent_at(database, house) == NOW and filled(clerk, "1001")["template"] == "late_payment_reminder"

    again = clerk.post("/documents/send", **form, personal="Vă mulțumim pentru comandă.")
    assert "did=again" in again and sent_of(again) == made.id
    assert "nimic nu s-a trimis a doua oară" in clerk.get(again)

    page = clerk.get(where)
    assert "Pleacă în 10 secunde" in page and value(page, "message") == made.id
    back = clerk.post("/documents/unsend", message=made.id, back=value(page, "back"))
    assert back == "/documents?state=unpaid&did=back" and "Retras" in clerk.get(back)
    assert {one[1] for one in database.read_now(lambda tx: tx.all(queued))} == {"cancelled"}
    assert _sent_at(database, house) is None and filled(clerk, "1001")["template"] == "new_invoice"
    clerk.post("/documents/unsend", expect=409, message=made.id)


def _sent_at(database: Database, house: House, id: str = "1001") -> object:
    found = database.read_now(get_document, house.tenant, "invoice", id)
    assert found
    return found.sent_at


def test_without_the_payers_address_the_form_says_so_and_nothing_is_sent(
    clerk: Admin, house: House, database: Database
) -> None:
    page = clerk.get("/documents/send?document=invoice/1003")
    assert "Documentul nu conține adresa plătitorului." in page
    form, before = filled(clerk, "1003"), count(database)
    assert form["to"] == ""
    answer = clerk.post("/documents/send", expect=409, **form, personal="rămâne scris")
    assert "nu s-a trimis nimic" in answer and "rămâne scris" in answer
    assert count(database) == before and _sent_at(database, house, "1003") is None
    clerk.post("/documents/send", **(form | {"to": "vatra@vatra.example"}))
    assert count(database) == before + 1


@pytest.mark.parametrize(
    ("id", "changes", "said"),
    [
        ("1002", {}, "mesajele către buh@trade.example sunt oprite; nu s-a trimis nimic"),
        ("1004", {"to": "nobody"}, "nobody"),
        ("1004", {"template": "paid_invoice"}, "șablonul paid_invoice este dezactivat"),
        ("1004", {"template": "estimate"}, "nu se potrivește"),
    ],
)
def test_what_cannot_go_is_said_on_the_form_and_leaves_no_trace(
    clerk: Admin, database: Database, id: str, changes: dict[str, str], said: str
) -> None:
    before = count(database), count(database, event)
    answer = clerk.post("/documents/send", expect=409, **(filled(clerk, id) | changes))
    assert said in html.unescape(answer)
    assert before == (
        count(database),
        database.read_now(lambda tx: tx.first(select(func.count()).select_from(event)))[0],
    )


@pytest.mark.parametrize("id", ["1006", "1007"])
def test_a_draft_and_a_voided_document_are_not_sent(clerk: Admin, database: Database, id: str) -> None:
    before = count(database)
    clerk.post("/documents/send", expect=409, document=f"invoice/{id}", to="ana@codru.example", key="k")
    assert count(database) == before
    assert clerk.browser.get(f"/documents/send?document=invoice/{id}").status_code == (409 if id == "1006" else 200)


def test_the_preview_is_the_mail_in_its_sandbox(clerk: Admin) -> None:
    shown = clerk.browser.get("/documents/preview?document=invoice/1004&template=unpaid_invoice&language=ru")
    assert shown.headers["content-security-policy"].startswith("sandbox;") and "FA-1004" in shown.text
    assert re.search("[А-я]", shown.text)
    form = {"csrf": clerk.csrf, "document": "invoice/1004", "language": "en", "personal": "<b>Hello</b> there"}
    tried = clerk.browser.post("/documents/preview", data=form, headers={"origin": ORIGIN})
    assert "&lt;b&gt;Hello&lt;/b&gt; there" in tried.text or "<b>Hello" not in tried.text
    assert clerk.browser.get("/documents/preview?document=invoice/none").status_code == 404


def test_the_same_form_opens_over_the_page(clerk: Admin) -> None:
    part = clerk.browser.get("/documents/send?document=invoice/1004", headers={"hx-request": "true"}).text
    assert "<html" not in part and 'method="dialog"' in part and 'id="sheet-title"' in part
    draft = clerk.browser.get("/documents/send?document=invoice/1006", headers={"hx-request": "true"})
    assert draft.status_code == 409 and "<html" not in draft.text and "ciornă" in draft.text


# -- one document


def test_a_document_tells_of_its_mail_and_is_noted_as_sent(clerk: Admin, house: House, database: Database) -> None:
    page = clerk.get("/documents/invoice/inv_118")
    for said in (
        "2026-0118",
        "Vechi &amp; Nou SA",
        "18.450,50",
        "contabil@vechi.example",
        "Adresa nu există la destinatar.",
    ):
        assert said in page.replace("\u00a0", " "), said
    assert f'href="/inbox/{house.threads["bounced"]}"' in page
    act = {"document": "invoice/1004"}
    assert "did=noted" in clerk.post("/documents/act", **act, action="sent")
    assert _sent_at(database, house, "1004") == NOW
    assert "a notat că documentul a fost trimis pe altă cale" in clerk.get("/documents/invoice/1004")
    clerk.post("/documents/act", expect=409, **act, action="sent")
    clerk.post("/documents/act", expect=409, **act, action="pause", why=" ")
    clerk.post("/documents/act", **act, action="pause", why="se judecă")
    assert "se judecă" in clerk.get("/documents/invoice/1004")
    clerk.post("/documents/act", **act, action="resume")
    assert "Fără memento-uri</dt>" not in clerk.get("/documents/invoice/1004")
    clerk.post("/documents/act", expect=404, document="invoice/none", action="pause", why="x")


# -- customers


def test_a_customer_has_its_addresses_documents_and_what_it_owes(clerk: Admin, house: House) -> None:
    page = clerk.get("/customers").replace("\u00a0", " ")
    assert "3.600,00 MDL" in row_of(page, "Codrul Verde SRL") and "mesajele sunt oprite" in row_of(
        page, "Вест-Трейд ООО"
    )
    assert "fără adresă" in row_of(page, "Vatra Nouă") or "vatra@vatra.example" in row_of(page, "Vatra Nouă")
    assert "Codrul" in clerk.get("/customers?q=ion@codru") and "Codrul" not in clerk.get("/customers?q=вест")
    page = clerk.get("/customers/id:c-77")
    for said in ("ana@codru.example", "ion@codru.example", "FA-1001", "OF-1009", "în copie"):
        assert said in page, said
    assert "FA-1002" not in page
    assert clerk.browser.get("/customers/id:none").status_code == 404


def row_of(page: str, name: str) -> str:
    return next(one for one in re.findall(r"<li>.*?</li>", page, re.S) if name in one)


def test_addresses_are_added_changed_corrected_and_removed(clerk: Admin, house: House, database: Database) -> None:
    def known(key: str) -> dict[str, tuple[str, str, str]]:
        found = database.read_now(list_contacts, house.tenant, key)
        return {one.address: (one.role, one.name, one.source) for one in found}

    codru = {"key": "id:c-77"}
    new = {"email": "Contabil@codru.example", "name": "Doina", "role": "cc"}
    assert "did=contact" in clerk.post("/customers/change", **codru, action="put", **new)
    assert known("id:c-77")["contabil@codru.example"] == ("cc", "Doina", "tenant")
    clerk.post("/customers/change", **codru, action="put", email="contabil@codru.example", role="alternate")
    assert known("id:c-77")["contabil@codru.example"][0] == "alternate"
    wrong = clerk.post("/customers/change", expect=409, **codru, action="put", email="nobody")
    assert "nu este o adresă" in html.unescape(wrong)
    clerk.post("/customers/change", **codru, action="drop", email="contabil@codru.example")
    assert "contabil@codru.example" not in known("id:c-77")
    clerk.post("/customers/change", expect=404, **codru, action="drop", email="contabil@codru.example")
    told = select(event.c.type).where(
        event.c.tenant_id == house.tenant, event.c.type.in_(("contact.added", "contact.removed"))
    )
    assert [one[0].split(".")[1] for one in database.read_now(lambda tx: tx.all(told))] == ["added", "added", "removed"]
    clerk.post(
        "/customers/change", key="id:c-5", action="correct", email="buh@trade.example", new="office@trade.example"
    )
    assert known("id:c-5")["office@trade.example"][0] == "to" and known("id:c-5")["buh@trade.example"][0] == "alternate"


def test_the_language_and_the_wish_for_no_reminders(clerk: Admin, house: House, database: Database) -> None:
    codru = {"key": "id:c-77"}
    clerk.post("/customers/change", **codru, action="language", language="ru")
    assert re.search(r'<option value="ru" selected', clerk.get("/customers/id:c-77"))
    clerk.post("/customers/change", expect=409, **codru, action="language", language="xx")
    database.write_now(opt_out, to_ms(NOW), house.tenant, "id:c-77", "one click")
    assert "nu dorește memento-uri" in clerk.get("/customers/id:c-77")
    clerk.post("/customers/change", **codru, action="remind")
    assert "nu dorește memento-uri" not in clerk.get("/customers/id:c-77")
    clerk.post("/customers/change", expect=409, **codru, action="remind")


def test_a_paid_document_thanks_once_that_template_is_on(
    clerk: Admin, house: House, database: Database, workshop: Workshop
) -> None:
    assert (
        filled(clerk, "1005")["template"] == "new_invoice"
    )  # paid before it was sent: for the first time all the same
    database.write_now(change_setting, house.tenant, "paid_invoice", "", {"enabled": True})
    assert filled(clerk, "1005")["template"] == "paid_invoice"
