"""Previews: the mail of a sample or of a document in the tenant's look, as a page and as a file for mail clients."""

import json
from datetime import UTC, date, datetime
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from gateway.mail.address import parse_address
from gateway.mail.header_mailboxes import Mailbox
from gateway.mail.reply import Refused
from gateway.outbound.brand import Brand
from gateway.outbound.documents import read_document
from gateway.outbound.previews import lint_template, message_of, page_of, preview_mail, sample_facts, try_texts
from gateway.outbound.texts import LANGUAGES, templates
from tests.unit.test_rendering import png

BRAND = Brand(company="Beta Construct SRL", colour="#aa0011", language="ru")
INVOICE = Path(__file__).resolve().parents[1] / "corpus/documents/invoice_ro.json"


@pytest.mark.parametrize("key", list(templates()))
def test_a_sample_is_sent_by_the_tenant_in_the_asked_language(key: str) -> None:
    found = preview_mail(key, "en", BRAND, draw=False)
    assert found.language == "en" and not found.attachments
    assert "Beta Construct SRL" in found.text and "#aa0011" in found.html
    assert found.text.rstrip().endswith("Beta Construct SRL")  # the imprint is not the sample's


def test_a_document_is_shown_with_what_the_tenant_says() -> None:
    document = read_document(INVOICE.read_bytes())
    texts = {"subject": "{{ number }}!"}
    found = preview_mail("new_invoice", "ru", BRAND, document, date(2026, 11, 24), False, texts)
    assert (found.subject, found.language) == ("CP-2026-0042!", "ru")
    with pytest.raises(Refused, match="is about documents of type"):
        preview_mail("statement", "ru", BRAND, document, date(2026, 11, 24))


def test_a_page_for_a_browser_has_the_logo_in_it_and_the_message_has_it_as_a_part() -> None:
    found = preview_mail("estimate", "ro", Brand(company="Acme", logo=png(40, 20)), draw=False)
    assert 'src="cid:' in found.html
    assert 'src="data:image/png;base64,' in page_of(found) and "cid:" not in page_of(found)
    author = parse_address("facturi@acme.example")
    now = datetime(2026, 11, 24, tzinfo=UTC)
    message = message_from_bytes(message_of(found, BRAND, author, Mailbox("", author), now), policy=policy.default)
    assert message["Subject"] == found.subject and message["Date"] and message["Message-ID"]
    assert [part.get_content_type() for part in message.walk()].count("image/png") == 1


def test_every_variable_has_the_samples_value() -> None:
    facts = sample_facts("new_invoice", "ru", "Днестр")
    values = json.loads(INVOICE.with_stem("invoice_ru").read_text("utf-8"))
    assert facts["number"] == values["number"] and facts["company"] == "Днестр"
    assert facts["document"]["due_date"] == values["due_date"] and len(facts["lines"]) == len(values["lines"])


def test_a_try_gives_warnings_and_refuses_errors() -> None:
    with pytest.raises(Refused, match="no variable"):
        try_texts("estimate", "ro", BRAND, {"ro": {"text": "{{ x }}"}})
    found = try_texts("estimate", "ro", BRAND, {"ro": {"button": "Aici, {{ number }}"}})
    assert found == []
    assert [one.rule for one in try_texts("estimate", "ru", BRAND, {"ro": {"button": "{{ number }}"}})] == ["variables"]


def test_a_whole_template_is_looked_at_in_every_language() -> None:
    assert lint_template("estimate", BRAND, {}) == []
    broken = lint_template("estimate", BRAND, {"ru": {"text": "{{ x }}"}})
    assert {(code, one.level) for code, one in broken if one.rule == "text"} == {("ru", "error")}
    assert len(LANGUAGES) == 3
