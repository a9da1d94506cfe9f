"""The mail about a document: its texts against golden files, what it shows, and that nothing in it can do harm.

`GOLDEN=write pytest tests/unit/test_rendering.py` writes the golden files anew: read the difference before it is kept.
"""

import email
import email.policy
import json
import os
import re
import struct
import tomllib
import zlib
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from gateway.mail.address import Address
from gateway.mail.header_mailboxes import Mailbox
from gateway.mail.reply import Refused
from gateway.outbound.documents import Document, read_document
from gateway.outbound.filling import fill
from gateway.outbound.rendering import Brand, Rendered, ascii_filename, compose, render_mail
from gateway.outbound.texts import LANGUAGES, language, reasons, templates

ROOT = Path(__file__).resolve().parents[2]
TODAY = date(2026, 11, 24)
BRANDS = {
    "ro": Brand(company="Acme Servicii SRL", contact_email="office@acme.example", idno="1010600000000"),
    "ru": Brand(company="Днестр Логистик", phone="+373 231 00 000", colour="#1f4fa3"),
    "en": Brand(company="Codru Software", contact_email="billing@codru.example", colour="#ffcc33"),
}


def png(width: int = 2, height: int = 1) -> bytes:
    """A small picture."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + b"\x20\x60\x40" * width for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def sample(name: str, **changes: Any) -> Document:
    values = json.loads((ROOT / f"tests/corpus/documents/{name}.json").read_text())
    return read_document(json.dumps(values | changes).encode())


def mail(document: Document, brand: Brand | None = None, key: str = "new_invoice") -> Rendered:
    """Without the PDF, which has tests of its own; the texts speak of it where a template attaches it."""
    return render_mail(key, document, brand or BRANDS["ro"], TODAY, attach_pdf=False)


def golden(name: str, text: str) -> None:
    path = ROOT / "tests/golden/mail" / name
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_html_part_is_as_in_the_golden_file(code: str) -> None:
    golden(f"new_invoice.{code}.html", mail(sample(f"invoice_{code}"), BRANDS[code]).html)


RICH: dict[str, Any] = {
    "receipt": {"amount": "1200.00", "paid_at": "2026-11-20"},
    "autopay": {"amount": "1200.00", "reason": "card expired.", "next_attempt_at": "2026-11-27"},
    "subscription": {
        "plan": "Hosting M",
        "amount": "500.00",
        "starts_on": "2026-12-01",
        "next_billing_on": "2026-11-29",
    },
    "statement": {"from": "2026-11-01", "to": "2026-11-30", "closing_balance": "1200.00"},
    "payment_plan": {"installments": [{"due_date": "2026-12-01", "amount": "600.00"}] * 2},
}
BARE = ("due_date", "issue_date", "payment", "links", "lines", "taxes")


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_template_reads_as_in_the_golden_file(code: str) -> None:
    rich = sample("invoice_ro", language=code, **RICH)
    values = {name: value for name, value in json.loads(rich.canonical()).items() if name not in (*BARE, *RICH)}
    bare = read_document(json.dumps(values).encode())
    lines = []
    for key in templates():
        for label, document, pdf in (("all", rich, True), ("bare", bare, False)):
            today = date(2026, 12, 30) if key.startswith("late") else TODAY
            try:
                texts = fill(key, code, document, "Acme", today, pdf=pdf)
            except Refused as refused:
                lines += [f"[{key}: {label}]", f"refused: {refused.reply.text}", ""]
                continue
            shown = {name: getattr(texts, name) for name in ("title", "subject", "preheader", "lead", "button")}
            lines += [f"[{key}: {label}]", *(f"{name}: {text}" for name, text in shown.items()), ""]
            assert not re.search(r"[{}\[\]]", "".join(shown.values()))
    golden(f"templates.{code}.txt", "\n".join(lines))


def test_the_three_languages_say_the_same_things() -> None:
    ro, ru, en = (language(code) for code in LANGUAGES)
    assert ro.labels.keys() == ru.labels.keys() == en.labels.keys()
    assert ro.bounce_reasons.keys() == ru.bounce_reasons.keys() == en.bounce_reasons.keys() == reasons().keys()
    for key in templates():
        assert ro.template(key).keys() == ru.template(key).keys() == en.template(key).keys()
        assert ("button" in ro.template(key)) == bool(templates()[key].link)
    assert len(templates()) == 14


def test_romanian_is_written_with_comma_below() -> None:
    text = (ROOT / "gateway/templates/email/ro.toml").read_text()
    assert not re.search("[ŞşŢţ]", text)


@pytest.mark.parametrize(
    ("code", "money", "day", "days"),
    [
        (
            "ro",
            "1.200,00\u00a0MDL",
            "8\u00a0decembrie\u00a02026",
            ["1 zi", "2 zile", "19 zile", "20 de zile", "101 zile"],
        ),
        (
            "ru",
            "1\u00a0200,00\u00a0MDL",
            "8\u00a0декабря\u00a02026\u00a0года",
            ["1 день", "2 дня", "19 дней", "20 дней", "101 день"],
        ),
        ("en", "MDL\u00a01,200.00", "8\u00a0December\u00a02026", ["1 day", "2 days", "19 days", "20 days", "101 days"]),
    ],
)
def test_money_dates_and_plurals_are_written_as_in_the_language(
    code: str, money: str, day: str, days: list[str]
) -> None:
    words = language(code)
    assert words.money("1200.00", "MDL") == money
    assert words.date("2026-12-08") == day
    assert [words.count("days", n).replace("\u00a0", " ") for n in (1, 2, 19, 20, 101)] == days


def test_amounts_have_the_places_of_their_currency_or_those_given() -> None:
    en = language("en")
    assert en.money("1200", "MDL") == "MDL\u00a01,200.00"
    assert en.money("1200", "JPY") == "JPY\u00a01,200"
    assert en.money("-3.335", "MDL") == "MDL\u00a0−3.335"
    assert en.number("12.50") == "12.5"
    assert [en.in_days(n) for n in (0, 1, 5)] == ["today", "tomorrow", "in 5\u00a0days"]


def test_the_greeting_names_the_one_person_it_is_for() -> None:
    customer = {"name": "Vinăria", "contacts": [{"name": "Ana", "email": "a@x.example"}]}
    two = {"name": "Vinăria", "contacts": [*customer["contacts"], {"name": "Ion", "email": "i@x.example"}]}
    company = {"name": "Vinăria", "email": "office@x.example"}
    person = company | {"name": "Ana Rusu", "kind": "person"}
    for party, greeting in ((customer, "Bună ziua, Ana!"), (two, "Bună ziua!"), (company, "Bună ziua!")):
        assert fill("new_invoice", "ro", sample("invoice_ro", customer=party), "Acme", TODAY).greeting == greeting
    document = sample("invoice_ro", customer=person)
    assert fill("new_invoice", "ro", document, "Acme", TODAY).greeting == "Bună ziua, Ana Rusu!"


class Page(HTMLParser):
    """What a mail client would see: elements, their attributes, and text outside of style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.mark.parametrize("name", ["invoice_ro", "invoice_ru", "invoice_en", "invoice_long", "hostile"])
def test_html_is_light_self_contained_and_accessible(name: str) -> None:
    found = mail(sample(name), Brand(company="<b>Acme</b>", logo=png()))
    shown = Page(found.html)
    assert len(found.html.encode()) < 102_000
    assert not {"script", "iframe", "form", "link", "object", "base"} & {tag for tag, _ in shown.elements}
    assert all(src["src"].startswith("cid:") and src["alt"] for src in shown.all("img"))
    assert not re.search(r"(?i)url\(|data:|@import|srcset", found.html.split("<body")[0])
    for tag, attributes in shown.elements:
        assert not [key for key in attributes if key.startswith("on")], (tag, attributes)
    data_tables = [table for table in shown.all("table") if table.get("role") != "presentation"]
    assert len(data_tables) == (1 if sample(name).lines else 0)
    assert shown.all("html")[0]["lang"] == found.language
    assert {"name": "color-scheme", "content": "light dark"} in shown.all("meta")


def test_hostile_text_is_text() -> None:
    found = mail(sample("hostile"))
    shown = Page(found.html)
    assert "<script>alert(1)</script>{{ 7*7 }}{% raw %}" in shown.text
    assert "49" not in found.subject
    assert [link["href"] for link in shown.all("a")] == ["https://x.example/?a=1&b=<script>'\""]
    assert "\r" not in found.subject and "\n" not in found.subject


def test_without_a_link_there_is_no_button() -> None:
    found = mail(sample("invoice_ro", links={}))
    assert Page(found.html).all("a") == []
    assert "Vizualizați" not in found.html + found.text
    assert Page(mail(sample("invoice_ro")).html).all("a")[0]["href"] == "https://pay.acme.example/i/8812?t=Zk3"


def test_a_long_document_shows_twenty_lines_and_says_how_many_more() -> None:
    with_pdf = sample("invoice_long", files=[{"filename": "x.pdf", "role": "pdf", "content": "JVBERi0="}])
    found = render_mail("new_invoice", with_pdf, BRANDS["ro"], TODAY)
    assert "și încă 100 de poziții – vedeți PDF-ul" in found.html
    assert "punct de lucru 20" in found.html and "punct de lucru 21" not in found.html
    assert "și încă 100 de poziții – vedeți PDF-ul" in found.text


def test_html_stays_below_the_limit_whatever_the_document_holds() -> None:
    lines = [{"description": "<" * 4000, "unit": "<" * 9000, "quantity": "2", "unit_price": "1"}] * 20
    found = mail(sample("invoice_ro", lines=lines, totals={"total": "1"}, notes="&" * 10000, terms="&" * 10000))
    assert len(found.html.encode()) < 102_000
    assert "1,00" in found.html


@pytest.mark.parametrize(
    ("colour", "accent", "text"),
    [
        ("#ffcc33", "#ffcc33", "#14161a"),
        ("#0B6B4F", "#0b6b4f", "#ffffff"),
        ("red;}", "#0b6b4f", "#ffffff"),
        ("", "#0b6b4f", "#ffffff"),
    ],
)
def test_the_button_is_readable_in_the_tenants_colour(colour: str, accent: str, text: str) -> None:
    brand = Brand(company="Acme", colour=colour)
    assert (brand.accent, brand.on_accent) == (accent, text)


def test_a_file_of_the_document_stands_in_for_our_pdf_and_others_go_along() -> None:
    files = [
        {"filename": "the original.pdf", "role": "pdf", "content": "JVBERi0xLjc=", "content_type": "application/pdf"},
        {"filename": "../Акт №7.xml", "role": "einvoice", "content": "PGEvPg==", "content_type": "application/xml"},
        {"filename": "x", "content": "QQ==", "content_type": 'text/html; a="b"\r\nX: y'},
    ]
    found = render_mail("new_invoice", sample("invoice_ro", files=files), BRANDS["ro"], TODAY).attachments
    assert [(item.filename, item.media_type, item.data) for item in found] == [
        ("the_original.pdf", "application/pdf", b"%PDF-1.7"),
        ("Akt_No7.xml", "application/xml", b"<a/>"),
        ("x", "application/octet-stream", b"A"),
    ]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("CP-2026-0042", "CP-2026-0042.pdf"),
        ("СЧ-2026/117", "SCh-2026_117.pdf"),
        ("Щ țară ș", "Shch_tara_s.pdf"),
        ("../../etc/passwd\r\nX: y", "etc_passwd_X_y.pdf"),
        ("…", "document.pdf"),
        ("漢", "document.pdf"),
        ("x" * 300, "x" * 80 + ".pdf"),
    ],
)
def test_a_file_name_is_ascii_and_harmless(text: str, name: str) -> None:
    assert ascii_filename(text, "pdf") == name


def test_a_draft_and_a_template_that_does_not_fit_are_refused_in_words() -> None:
    with pytest.raises(Refused, match="is a draft"):
        mail(sample("invoice_ro", status="draft"))
    with pytest.raises(
        Refused, match="new_invoice is about documents of type invoice; OF-2026-015 is of type estimate"
    ):
        mail(sample("estimate_ro"))


FIELDS = [b"From: Acme <no-reply@mail.example>\r\n", b"Message-ID: <ID1@mail.example>\r\n"]
ANA = Mailbox("Ana Țurcanu", Address("ana", "vinaria.example"))


def composed(logo: bytes | None = None) -> tuple[Rendered, bytes]:
    document = sample("invoice_ru", files=[{"filename": "x.pdf", "role": "pdf", "content": "JVBERi0xLjc="}])
    found = render_mail("new_invoice", document, Brand(company="Acme", logo=logo), TODAY)
    return found, compose(found, [ANA], [Mailbox("", Address("b", "x.example"))], FIELDS)


@pytest.mark.parametrize("logo", [None, png()], ids=["plain", "logo"])
def test_the_message_is_read_back_by_the_standard_library_as_it_was_rendered(logo: bytes | None) -> None:
    found, raw = composed(logo)
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert not message.defects and not [part for part in message.walk() if part.defects]
    assert message["Subject"] == found.subject
    assert message["To"].addresses[0].display_name == "Ana Țurcanu"
    assert message["Cc"].addresses[0].addr_spec == "b@x.example"
    assert message.get_content_type() == "multipart/mixed"
    for kind, expected in (("plain", found.text), ("html", found.html)):
        part = message.get_body((kind,))
        assert part is not None
        got = part.get_content().replace("\r\n", "\n")
        assert re.sub(r"cid:logo[^\"]*", "cid:logo", got) == expected
    (pdf,) = message.iter_attachments()
    assert pdf.get_content() == b"%PDF-1.7" and pdf.get_filename() == "x.pdf"
    if logo:
        (picture,) = (part for part in message.walk() if part.get_content_type() == "image/png")
        assert f"cid:{picture['Content-ID'].strip('<>')}" in raw.decode().replace("=\r\n", "")
        assert picture.get_content() == logo


def test_the_message_has_crlf_only_short_lines_and_the_same_bytes_every_time() -> None:
    raw = composed(png())[1]
    assert raw == composed(png())[1]
    assert b"\n" not in raw.replace(b"\r\n", b"") and b"\r" not in raw.replace(b"\r\n", b"")
    assert max(len(line) for line in raw.split(b"\r\n")) <= 78
    assert raw.isascii()
    assert raw.startswith(b"".join(FIELDS))


def test_boundaries_belong_to_the_message_id() -> None:
    found, raw = composed()
    other = compose(found, [ANA], [], [b"Message-ID: <ID2@mail.example>\r\n"])
    boundary = re.search(rb'mixed; boundary="([^"]+)"', raw)
    assert boundary and boundary[1] not in other


def test_a_message_to_nobody_in_sight_says_so() -> None:
    assert b"To: undisclosed-recipients:;\r\n" in compose(composed()[0], [], [], FIELDS)


def test_a_personal_message_stands_under_the_greeting_and_is_escaped() -> None:
    document = sample("invoice_ro")
    words = "Bună, Ana!\r\nCum am vorbit.\r\n\r\n<b>Mulțumim</b>"
    rendered = render_mail("new_invoice", document, Brand(company="Acme"), TODAY, personal=words)
    assert rendered.text.index("Cum am vorbit.") < rendered.text.index("Am emis")
    assert "Bună, Ana!<br />Cum am vorbit.</p>" in rendered.html
    assert "&lt;b&gt;Mulțumim&lt;/b&gt;" in rendered.html and "<b>Mulțumim" not in rendered.html


def test_the_way_to_turn_reminders_off_stands_in_both_parts_when_it_is_given() -> None:
    url = "https://mail.example/preferences/abc"
    for code, words in (("ro", "Opriți-le aici"), ("ru", "Отключить"), ("en", "Turn them off here")):
        document = sample(f"invoice_{code}")
        found = render_mail("unpaid_invoice", document, BRANDS[code], TODAY, attach_pdf=False, preferences=url)
        assert Page(found.html).all("a")[-1]["href"] == url
        assert words in Page(found.html).text and f"{words}:\n{url}\n" in found.text
        assert words not in mail(document).html + mail(document).text


def test_a_pdf_that_is_too_large_is_a_link_and_is_said_so() -> None:
    url = "https://mail.example/f/abc"
    found = render_mail("new_invoice", sample("invoice_long"), BRANDS["ro"], TODAY, download=(url, 24_700_000))
    assert found.attachments == () and "atașat la" in found.text and "PDF atașat" not in found.html
    for part in (Page(found.html).text, found.text):
        assert "PDF-ul (24,7\u00a0MB) este prea mare" in re.sub("[ \n]+", " ", part)
    assert f"Descărcați PDF-ul:\n{url}\n" in found.text
    assert [link["href"] for link in Page(found.html).all("a")][-1] == url
    assert "și încă 100 de poziții – vedeți PDF-ul" in found.text


def test_any_other_file_that_is_too_large_is_a_link_too() -> None:
    files = (("plan <A>.zip", "https://mail.example/f/1", 21_000_000), ("b.csv", "https://mail.example/f/2", 900_000))
    found = render_mail("new_invoice", sample("invoice_en"), BRANDS["en"], TODAY, False, linked=files)
    text = re.sub("[ \n\u00a0]+", " ", found.text)
    for name, url, size in (("plan <A>.zip", files[0][1], "21 MB"), ("b.csv", files[1][1], "900 KB")):
        assert f"The file {name} ({size}) is too large to attach to this message. Download the file: {url} " in text
        assert {"href": url}.items() <= next(one for one in Page(found.html).all("a") if one["href"] == url).items()
    assert "plan &lt;A&gt;.zip" in found.html


def test_a_buttons_label_may_be_another_and_without_a_link_there_is_still_none() -> None:
    label = "Achitați <acum>\r\nX: y" + "!" * 100
    found = render_mail("new_invoice", sample("invoice_ro"), BRANDS["ro"], TODAY, False, button_label=label)
    assert "Achitați &lt;acum&gt;" in found.html and "Vizualizați" not in found.html + found.text
    assert re.search(r"(?m)^Achitați <acum>.{1,50}…:$", found.text)
    bare = render_mail("new_invoice", sample("invoice_ro", links={}), BRANDS["ro"], TODAY, False, button_label=label)
    assert "Achitați <acum>" not in bare.text and Page(bare.html).all("a") == []


def test_a_tenants_paragraphs_stand_before_and_after_the_button() -> None:
    said = {"text": "Unu {{ number }}.\n\nDoi\nși trei.\n\n{{ button }}\n\nCu <respect>"}
    found = render_mail("new_invoice", sample("invoice_ro"), BRANDS["ro"], TODAY, attach_pdf=False, texts=said)
    order = ["Unu CP-2026-0042.", "Doi", "și trei.", "De achitat", "Vizualizați contul de plată", "Cu <respect>", "TVA"]
    for part in (Page(found.html).text, found.text):
        places = [part.index(words) for words in order]
        assert places == sorted(places)
    assert "Doi<br />și trei.</p>" in found.html and "\n\nDoi\nși trei.\n\n" in found.text
    assert "Cu &lt;respect&gt;" in found.html


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((900, 90), (220, 22)),
        ((120, 480), (12, 48)),
        ((40, 16), (40, 16)),
        ((2000, 1), (220, 1)),
        ((220, 48), (220, 48)),
    ],
)
def test_a_logo_is_made_to_fit_and_never_enlarged(size: tuple[int, int], shown: tuple[int, int]) -> None:
    found = mail(sample("invoice_ro"), Brand(company="Acme", logo=png(*size)))
    [picture] = Page(found.html).all("img")
    assert (picture["width"], picture["height"]) == tuple(map(str, shown)) and picture["alt"] == "Acme"
    assert found.logo is not None and picture["src"] == "cid:logo"


def test_a_logo_that_says_no_size_is_not_shown_and_the_name_is() -> None:
    found = mail(sample("invoice_ro"), Brand(company="Acme", logo=png()[:20]))
    assert Page(found.html).all("img") == [] and found.logo is None and "Acme" in Page(found.html).text


UNITS = ["1", "2", "5", "20", "21", "1.5", "12.50", "1000"]


@pytest.mark.parametrize(
    ("code", "hours", "pieces"),
    [
        ("ro", ["1 oră", "2 ore", "5 ore", "20 de ore", "21 de ore", "1,5 ore", "12,5 ore", "1.000 de ore"], "5 buc."),
        ("ru", ["1 час", "2 часа", "5 часов", "20 часов", "21 час", "1,5 часа", "12,5 часа", "1 000 часов"], "5 шт."),
        ("en", ["1 hour", "2 hours", "5 hours", "20 hours", "21 hours", "1.5 hours", "12.5 hours", "1,000 hours"],
         "5 pcs"),
    ],
)  # fmt: skip
def test_units_are_said_in_words_with_their_plural(code: str, hours: list[str], pieces: str) -> None:
    words = language(code)
    assert [words.quantity(text, "HUR").replace("\u00a0", " ") for text in UNITS] == hours
    assert words.quantity("5.00", "H87").replace("\u00a0", " ") == pieces
    assert (words.quantity("5", "рейс"), words.unit("рейс"), words.quantity("", "HUR")) == ("", "рейс", "")
    assert words.quantity("-2", "HUR").startswith("\u22122")


def test_every_unit_has_the_plurals_of_its_language() -> None:
    units = tomllib.loads((ROOT / "gateway/templates/email/units.toml").read_text("utf-8"))
    assert units["ro"].keys() == units["ru"].keys() == units["en"].keys()
    assert {"H87", "C62", "HUR", "DAY", "MON", "KGM", "MTR", "LTR", "KWH", "XBX"} <= units["ro"].keys()
    for code in LANGUAGES:
        wanted = set(language(code).locale.plural_form.tags) | {"other"}
        for unit, forms in units[code].items():
            assert isinstance(forms, str) or set(forms) == wanted, (code, unit)


def test_a_line_says_its_unit_in_words_in_both_parts() -> None:
    lines = [{"description": "Consultanță", "quantity": "20", "unit": "HUR", "unit_price": "25", "amount": "500.00"}]
    totals = {"net": "500.00", "tax": "0.00", "total": "500.00", "balance": "500.00"}
    found = mail(sample("invoice_ro", lines=lines, totals=totals, taxes=[], adjustments=[]))
    for part in (found.html, found.text):
        assert "20 de ore × 25,00" in part.replace("\u00a0", " ") and "HUR" not in part
