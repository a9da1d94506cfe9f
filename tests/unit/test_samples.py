"""The samples of the demo: valid, adding up, never stale, and in correct letters."""

import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from email import message_from_bytes, policy
from importlib.resources import files
from io import BytesIO

import jsonschema  # type: ignore[import-untyped]
import pypdf
import pytest

from gateway.demo.behaviours import behaviour_of
from gateway.demo.samples import TENANT, Sample, document_mail, level0_mail, plain_pdf, sample_documents
from gateway.outbound.documents import read_document, sendable

NOW = datetime(2026, 11, 24, 8, 14, tzinfo=UTC)
DAYS = [date(2026, 11, 24), date(2026, 12, 31), date(2028, 2, 29), date(2027, 1, 31)]
SAMPLES = sample_documents(NOW.date())
SCHEMA = json.loads((files("gateway.outbound") / "document.schema.json").read_text("utf-8"))


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_every_sample_fits_the_published_schema_and_the_gateway_takes_it(day: date) -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for sample in sample_documents(day):
        assert not list(validator.iter_errors(sample.document)), sample.name
        document = read_document(json.dumps(sample.document).encode())
        sendable(document)
        assert document.issue_date == day.isoformat() < document.due_date
        assert {str(one.address) for one in document.recipients()} == set(sample.recipients)
        assert "{" not in "".join(re.findall(r'"[^"]*"', json.dumps(sample.document)))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_taxes_and_lines_add_up_to_the_cent(sample: Sample) -> None:
    document, totals = sample.document, sample.document["totals"]
    for line in document["lines"]:
        assert Decimal(line["amount"]) == Decimal(line["quantity"]) * Decimal(line["unit_price"])
    for tax in document["taxes"]:
        assert Decimal(tax["amount"]) == Decimal(tax["base"]) * Decimal(tax["rate"]) / 100
    assert Decimal(totals["lines"]) == sum(Decimal(line["amount"]) for line in document["lines"])
    assert Decimal(totals["net"]) == Decimal(totals["lines"]) - Decimal(totals.get("discount", "0"))
    assert Decimal(totals["net"]) == sum(Decimal(tax["base"]) for tax in document["taxes"])
    assert Decimal(totals["tax"]) == sum(Decimal(tax["amount"]) for tax in document["taxes"])
    assert Decimal(totals["total"]) == Decimal(totals["net"]) + Decimal(totals["tax"])
    assert Decimal(totals["balance"]) == Decimal(totals["total"]) - Decimal(totals["paid"])


def test_the_samples_show_all_languages_and_the_fates_that_a_clerk_meets() -> None:
    assert {sample.document["language"] for sample in SAMPLES} == {"ro", "ru", "en"}
    fates = {behaviour_of(address.partition("@")[0]).local_part for sample in SAMPLES for address in sample.recipients}
    assert fates == {"accept", "person", "bounce", "full", "unknown", "away", "greylist"}
    [two] = [sample for sample in SAMPLES if len(sample.recipients) == 2]
    assert [behaviour_of(address.partition("@")[0]).local_part for address in two.recipients] == ["accept", "bounce"]
    assert len({sample.document["id"] for sample in SAMPLES}) == len({s.document["number"] for s in SAMPLES}) == 8


def test_romanian_is_written_with_commas_below() -> None:
    words = json.dumps([sample.document for sample in SAMPLES], ensure_ascii=False) + json.dumps(
        dict(TENANT.brand), ensure_ascii=False
    )
    assert not set(words) & set("şţŞŢ")
    assert set(words) & set("șț")


def test_a_document_mail_carries_the_document_as_its_body() -> None:
    mail = message_from_bytes(document_mail(SAMPLES[7].document, now=NOW), policy=policy.default)
    assert mail.get_content_type() == "application/vnd.ar-gateway.document+json"
    assert json.loads(mail.get_content()) == SAMPLES[7].document
    assert tuple(address.addr_spec for address in mail["To"].addresses) == SAMPLES[7].recipients
    assert str(mail["From"]) == "Acme Servicii SRL <facturare@acme.example>"


def test_a_personal_message_stands_beside_the_document() -> None:
    raw = document_mail(SAMPLES[0].document, now=NOW, personal="Bună ziua!", headers={"X-AR-Event": "invoice.issued"})
    mail = message_from_bytes(raw, policy=policy.default)
    text, document = mail.iter_parts()
    assert (mail["X-AR-Event"], text.get_content().strip()) == ("invoice.issued", "Bună ziua!")
    assert json.loads(document.get_content())["id"] == "inv_8812"


def test_the_usual_mail_has_a_pdf_that_opens() -> None:
    mail = message_from_bytes(level0_mail(now=NOW, number="F-7"), policy=policy.default)
    [attachment] = mail.iter_attachments()
    assert (attachment.get_filename(), mail["Subject"]) == ("F-7.pdf", "Factura F-7 de la Acme Servicii SRL")
    reader = pypdf.PdfReader(BytesIO(attachment.get_content()), strict=True)
    assert "Factura F-7" in reader.pages[0].extract_text()


def test_brackets_and_backslashes_are_text_in_the_pdf() -> None:
    reader = pypdf.PdfReader(BytesIO(plain_pdf([r"a (b) \ c"])), strict=True)
    assert reader.pages[0].extract_text().strip() == r"a (b) \ c"
