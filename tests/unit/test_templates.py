"""All fourteen templates in three languages: their texts against golden files, and that no fact of a document is lost.

`GOLDEN=write pytest tests/unit/test_templates.py` writes the golden files anew: read the difference before it is kept.
"""

import io
import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pypdf
import pytest

from gateway.mail.reply import Refused
from gateway.outbound.documents import Document, read_document
from gateway.outbound.documents.fields import decimal_of
from gateway.outbound.documents.model import TYPES
from gateway.outbound.gallery import Situation, situations, variants, write_gallery, write_index
from gateway.outbound.lint import lint, lint_mail
from gateway.outbound.rendering import Rendered, render_mail
from gateway.outbound.texts import LANGUAGES, language, templates

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "tests/corpus/documents"
ALL = list(situations(SAMPLES))
VARIANTS = list(variants(SAMPLES))
by_name = pytest.mark.parametrize("situation", ALL, ids=lambda situation: situation.name)

# what a person does not read, or reads in other words
CODES = re.compile(
    r"(?:schema|type|kind|id|status|language|currency|valid_days|revision)\Z|.*\.(?:id|type|relation|scheme|payload|"
    r"expires_at|tax_category|category|kind|language|country|role|send|style|bucket|interval|attempt|method|currency)\Z|"
    r"links\.|metadata\."
)
# what only the PDF shows: a mail names the customer by the greeting, and lines by what they are and cost
ON_PAPER_ONLY = re.compile(r"customer\.|lines\[\d+\]\.(?:sku|details|tax_rate|unit)\Z")
# sums that say the same as the amounts beside them: of lines without a discount, and of taxes that are listed
SUMS = r"|totals\.lines\Z|totals\.tax\Z|taxes\[\d+\]\.base\Z"


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from leaves(item, f"{path}[{at}]")
    else:
        yield path, str(value)


def facts(document: Document) -> Iterator[tuple[str, set[str]]]:
    """Each fact that a reader must find, with the ways in which it may be written."""
    words = language(document.language)
    for path, text in leaves(json.loads(document.canonical())):
        if CODES.match(path) or text in ("True", "False"):
            continue
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            yield path, {words.date(text), words.day(text), words.short_date(text)}
        elif re.fullmatch(r"-?\d{1,12}(\.\d+)?", text) and not re.search(r"\.(idno|vat|phone|postcode)\Z", path):
            if decimal_of(text) != 0:
                yield path, {words.number(text.lstrip("-")), words.amount(text.lstrip("-"), document.currency)}
        elif path.endswith(".iban"):
            yield path, {text, " ".join(text[at : at + 4] for at in range(0, len(text), 4))}
        else:
            yield path, {text}


def bare(text: str) -> str:
    return re.sub(r"\s+", "", text)


def missing_from(text: str, document: Document, omitted: re.Pattern[str] | None = None) -> list[str]:
    squeezed = bare(text)
    return [
        f"{path}: {min(ways)}"
        for path, ways in facts(document)
        if not (omitted and omitted.match(path)) and not any(bare(way.rstrip(".")) in squeezed for way in ways)
    ]


def golden(name: str, text: str) -> None:
    path = ROOT / "tests/golden/mail" / name
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")


def without_pdf(situation: Situation) -> Rendered:
    return render_mail(
        situation.key, situation.document, situation.brand, situation.today, False,
        related_documents=situation.related,
    )  # fmt: skip


def test_every_template_is_shown_in_every_language_and_every_type_has_one() -> None:
    assert {(one.key, one.document.language) for one in ALL} == {(k, c) for k in templates() for c in LANGUAGES}
    assert {type_ for template in templates().values() for type_ in template.fits} == set(TYPES)


@by_name
def test_the_text_part_is_as_in_the_golden_file(situation: Situation) -> None:
    found = without_pdf(situation)
    golden(f"{situation.key}.{situation.document.language}.txt", f"Subject: {found.subject}\n\n{found.text}")


@by_name
def test_nothing_that_lint_looks_for_is_wrong(situation: Situation) -> None:
    assert lint(situation.key, situation.document.language, situation.document, situation.brand, situation.today) == []


@by_name
def test_every_fact_of_the_document_is_said_in_the_text_part(situation: Situation) -> None:
    omitted = ON_PAPER_ONLY.pattern + SUMS
    if situation.key == "paid_invoice":
        omitted += r"|payment\."  # there is nothing to pay any more
    if situation.key == "subscription_canceled":
        omitted += r"|subscription\.next_billing_on\Z"
    assert missing_from(without_pdf(situation).text, situation.document, re.compile(omitted)) == []


@by_name
def test_the_button_follows_its_link_and_without_one_there_is_none(situation: Situation) -> None:
    template = templates()[situation.key]
    links = situation.document.links
    found = without_pdf(situation)
    wanted = [getattr(links, template.link)] if template.link and links else []
    assert re.findall(r'<a href="([^"]+)"', found.html) == wanted
    assert bool(wanted) == bool(template.link)
    bald = replace(situation, document=situation.document.model_copy(update={"links": None}))
    mail = without_pdf(bald)
    assert "<a " not in mail.html and "https://" not in mail.text


@pytest.mark.parametrize("key", list(templates()))
def test_a_template_refuses_a_type_that_it_does_not_fit(key: str) -> None:
    [situation] = [one for one in ALL if one.key == key and one.document.language == "ro"]
    for other in ALL:
        if other.document.language == "ro" and other.document.type not in templates()[key].fits:
            with pytest.raises(Refused, match=f"the template {key} is about documents of type") as refused:
                render_mail(key, other.document, situation.brand, situation.today)
            assert other.document.number in refused.value.reply.text


@by_name
def test_a_pdf_goes_along_where_the_table_says_so(situation: Situation) -> None:
    with_pdf = "estimate auto_payment_failed payment_plan_onboard".split()
    expected = situation.key not in with_pdf and not situation.key.startswith("subscription_")
    assert templates()[situation.key].attach_pdf == expected
    if situation.document.language == "ru":
        assert [item.media_type for item in situation.render().attachments] == ["application/pdf"] * expected


@pytest.mark.parametrize("situation", [one for one in ALL if one.key != "unpaid_invoice"], ids=lambda one: one.name)
def test_the_pdf_of_every_type_opens_and_shows_every_fact(situation: Situation) -> None:
    [pdf] = render_mail(
        situation.key, situation.document, situation.brand, situation.today, True, related_documents=situation.related
    ).attachments
    reader = pypdf.PdfReader(io.BytesIO(pdf.data))
    assert len(reader.pages) == 1 + len(situation.related)
    assert reader.trailer["/Root"]["/Lang"] == situation.document.language
    omitted = r"customer\.contacts" + SUMS
    if situation.document.kind == "act_de_verificare":
        omitted += r"|payment\."  # it is signed, not paid by
    if situation.key == "subscription_canceled":
        omitted += r"|subscription\.next_billing_on\Z"
    assert missing_from(reader.pages[0].extract_text(), situation.document, re.compile(omitted)) == []
    for page, document in zip(reader.pages[1:], situation.related, strict=True):
        assert missing_from(page.extract_text(), document, re.compile(omitted)) == []


def test_a_mail_is_the_same_every_time_it_is_rendered() -> None:
    situation = next(one for one in ALL if one.key == "payment_receipt" and one.document.language == "ro")
    assert situation.render() == situation.render()


def test_a_receipt_says_what_its_pdf_holds() -> None:
    situation = next(one for one in ALL if one.key == "payment_receipt" and one.document.language == "en")
    assert bare("The attached PDF holds the receipt and the documents it pays.") in bare(situation.render().text)
    assert bare("The receipt is attached.") in bare(replace(situation, related=()).render().text)
    assert "attached" not in without_pdf(situation).text


def test_without_a_pdf_a_long_document_is_shown_in_full() -> None:
    values = json.loads((SAMPLES / "invoice_long.json").read_text())
    document = read_document(json.dumps(values | {"type": "estimate"}).encode())
    found = render_mail("estimate", document, ALL[0].brand, ALL[0].today)
    assert not found.attachments
    assert all(f"punct de lucru {number}" in found.text for number in range(1, 121))
    assert "punct de lucru 120" in found.html and "…" not in found.text
    assert lint_mail(found, ALL[0].brand) == []


def test_a_statement_that_is_too_long_for_a_mail_keeps_its_sums() -> None:
    values = json.loads((SAMPLES / "statement_ro.json").read_text())
    statement = values["statement"]
    opening, closing = (decimal_of(statement[name]) for name in ("opening_balance", "closing_balance"))
    entries = [one | {"number": f"{one['number']}/{at}"} for at in range(10) for one in statement["entries"]]
    statement["entries"] = [{name: text for name, text in one.items() if name != "balance"} for one in entries]
    statement |= {"closing_balance": str(opening + 10 * (closing - opening)), "aging": []}
    found = render_mail("statement", read_document(json.dumps(values).encode()), ALL[0].brand, ALL[0].today)
    assert "și încă 41 de poziții – vedeți PDF-ul" in found.text.replace("\u00a0", " ")
    assert found.text.index("vedeți PDF-ul") < found.text.index("Rulajul perioadei") < found.text.index("Sold final")
    assert found.html.index("vedeți PDF-ul") < found.html.index("Rulajul perioadei")


def test_paid_instalments_are_marked_and_the_rest_is_summed() -> None:
    values = json.loads((SAMPLES / "payment_plan_ro.json").read_text())
    values["payment_plan"]["installments"][0]["paid"] = True
    values["totals"] = {"total": "9000.00", "paid": "3000.00", "balance": "6000.00"}
    document = read_document(json.dumps(values).encode())
    text = bare(render_mail("payment_plan_onboard", document, ALL[0].brand, ALL[0].today).text)
    assert "Rata1(1decembrie2026·achitată)3.000,00" in text
    assert "Rămasdeachitat6.000,00" in text


def test_an_invoice_with_a_plan_says_what_it_is_for() -> None:
    values = json.loads((SAMPLES / "invoice_ro.json").read_text())
    plan = {"installments": [{"due_date": "2026-12-01", "amount": "600.00"}] * 2}
    document = read_document(json.dumps(values | {"payment_plan": plan}).encode())
    found = render_mail("payment_plan_onboard", document, ALL[0].brand, ALL[0].today)
    assert found.subject == "Aprobați planul de plată pentru contul de plată CP-2026-0042"


@pytest.mark.parametrize(
    ("bucket", "shown"),
    [("0-30", "0–30 de zile"), ("1 - 15", "1–15 zile"), ("90+", "peste 90 de zile"), (">120", "peste 120 de zile"),
     ("current", "În termen"), ("altele", "altele")],
)  # fmt: skip
def test_ages_are_said_in_words(bucket: str, shown: str) -> None:
    assert language("ro").bucket(bucket).replace("\u00a0", " ") == shown


def test_the_gallery_is_one_page_that_shows_every_mail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.outbound.gallery.LANGUAGES", ("en",))
    names = write_gallery(SAMPLES, tmp_path)
    assert len(names) == 14 + 4 and (tmp_path / "statement.en.pdf").read_bytes().startswith(b"%PDF")
    (tmp_path / "statement.en.light.png").write_bytes(b"")
    page = write_index(tmp_path).read_text()
    assert all(f'id="{name}"' in page for name in names) and 'src="statement.en.light.png"' in page


@pytest.mark.parametrize("situation", [one for one in VARIANTS if one.variant != "logo"], ids=lambda one: one.name)
def test_nothing_is_wrong_with_an_unusual_mail(situation: Situation) -> None:
    found = render_mail(
        situation.key, situation.document, situation.brand, situation.today, attach_pdf=False, **situation.more
    )
    assert lint_mail(found, situation.brand) == []
