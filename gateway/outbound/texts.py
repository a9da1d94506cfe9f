"""The product's texts in Romanian, Russian and English, and how dates, amounts and numbers are written in each.

Called by rendering and the PDF, and by whoever shows a bounce reason. The texts are data (`templates/email/*.toml`),
read once and checked when they are read: an unknown token is a defect of ours. `fill` promises that no sentence has a
hole: a part of one whose token is unknown is left out; a document that lacks what the sentence is about is refused.
"""

import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from importlib.resources import files
from typing import Any

from babel import Locale
from babel.dates import format_date
from babel.numbers import format_decimal, get_currency_precision

from gateway.mail.reply import Refused
from gateway.outbound.documents.fields import date_of, decimal_of
from gateway.outbound.documents.model import Document

LANGUAGES = ("ro", "ru", "en")

_OPTIONAL = re.compile(r"\[(?:\?(\w+) )?([^\]]*)\]")
_TOKEN = re.compile(r"\{(\w+)\}")
_BREAK = re.compile(r"[ \t\r\n\v\f\x85\u2028\u2029]+")
_NBSP = "\u00a0"
_FIELDS = {
    "days_late": "due_date",
    "in_days": "subscription.next_billing_on",
    "plan": "subscription.plan",
    "period": "statement.from",
    "date": "statement.to",
    "balance": "totals.balance",
    "amount": "totals.total",
}  # where a token comes from, when its name does not say so
_TABLES = ("formats", "greeting", "footer", "days", "installments", "when", "more_lines", "labels", "bounce_reasons")


@dataclass(frozen=True, slots=True)
class Texts:
    """One template in one language, filled in; plain text, not escaped. `button` is "" when the template has none."""

    language: str
    title: str
    subject: str
    preheader: str
    greeting: str
    lead: str
    button: str
    footer: str


@dataclass(frozen=True, slots=True)
class Template:
    """What holds for a template in every language. `link` names the member of the document's links, or ""."""

    key: str
    link: str
    attach_pdf: bool
    enabled: bool
    auto: Mapping[str, Any]


class Language:
    """The texts and the ways of writing of one language."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.locale = Locale(code)
        self._data = _load(code)
        self.labels: Mapping[str, str] = self._data["labels"]
        self.bounce_reasons: Mapping[str, str] = self._data["bounce_reasons"]

    def text(self, table: str, key: str) -> str:
        """One text of a table: greeting, footer, formats …"""
        return str(self._data[table][key])

    def template(self, key: str) -> Mapping[str, str]:
        """The unfilled texts of a template: subject, preheader, lead, and where they exist alt and button."""
        found: Mapping[str, str] = self._data["templates"][key]
        return found

    def noun(self, document: Document) -> Mapping[str, str]:
        """The forms of what the document is called: doc, and doc_def doc_gen doc_acc doc_dat where they exist."""
        nouns = self._data["nouns"]
        found: dict[str, str] = nouns.get(document.kind, nouns["invoice"])
        return {"doc_def": "", "doc_acc": "", "doc_gen": "", "doc_dat": ""} | found

    def date(self, text: str) -> str:
        """An ISO date in words, `8 decembrie 2026`; "" for ""."""
        day = date_of(text)
        return format_date(day, self.text("formats", "date"), locale=self.locale) if day else ""

    def short_date(self, text: str) -> str:
        """An ISO date in figures, `08.12.2026`; "" for ""."""
        day = date_of(text)
        return format_date(day, self.text("formats", "short"), locale=self.locale) if day else ""

    def period(self, start: str, end: str) -> str:
        """A span of days in figures; either end may be ""."""
        return " – ".join(part for part in (self.short_date(start), self.short_date(end)) if part)

    def number(self, text: str, least: int = 0) -> str:
        """A decimal as it was given, with at least `least` places: "12.50" is `12,5`; "" for ""."""
        if not text:
            return ""
        value = decimal_of(text)
        places = max(least, -int(value.normalize().as_tuple().exponent), 0)
        pattern = "#,##0" + ("." + "0" * places if places else "")
        return _unbroken(format_decimal(value, pattern, locale=self.locale, decimal_quantization=False))

    def amount(self, text: str, currency: str) -> str:
        """An amount without its currency, in the places that the currency has or the amount needs: `1.200,00`."""
        return self.number(text, get_currency_precision(currency))

    def money(self, text: str, currency: str) -> str:
        """An amount with its ISO 4217 code, unbreakable: `1.200,00 MDL`, `MDL 1,200.00`; "" for ""."""
        if not text:
            return ""
        form = self.text("formats", "money")
        return form.replace("{number}", self.amount(text, currency)).replace("{currency}", currency)

    def count(self, table: str, n: int) -> str:
        """A number with its noun in the right plural: `20 de zile`, `2 дня`. Tables: days, installments, more_lines."""
        forms = self._data[table]
        form = forms.get(self.locale.plural_form(n), forms["other"])
        return str(form).replace("{n}", self.number(str(n)))

    def in_days(self, n: int) -> str:
        """When it is, seen from today: `astăzi`, `mâine`, `în 5 zile`."""
        if n <= 0:
            return self.text("when", "today")
        if n == 1:
            return self.text("when", "tomorrow")
        return self.text("when", "later").replace("{days}", self.count("days", n))


@functools.cache
def language(code: str) -> Language:
    """The texts of `ro`, `ru` or `en`; of anything else, English."""
    return Language(code if code in LANGUAGES else "en")


@functools.cache
def templates() -> Mapping[str, Template]:
    """The fourteen templates of the product by their key."""
    data = _load("templates")["templates"]
    return {
        key: Template(key, item["button"], item["attach_pdf"], item["enabled"], item["auto"])
        for key, item in data.items()
    }


@functools.cache
def reasons() -> Mapping[str, Mapping[str, str]]:
    """For each reason of a bounce its `kind` (hard, soft, policy, ours, unknown) and what to `do`."""
    found: Mapping[str, Mapping[str, str]] = _load("reason_table")
    return found


def language_of(document: Document, default: str = "ro") -> str:
    """The document's language, else its payer's or customer's, else the tenant's."""
    return document.language or document.payer_or_customer.language or document.customer.language or default


def fill(key: str, code: str, document: Document, company: str, today: date, *, pdf: bool = True) -> Texts:
    """The texts of template `key` in language `code` for one document.

    `company` is the tenant's name as customers know it; `today` the tenant's day; `pdf` whether a PDF goes with it.
    Raises `Refused` 554 5.6.0 when a sentence needs what the document lacks.
    """
    words = language(code)
    found = words.template(key)
    tokens = _tokens(words, document, company, today) | {"pdf": "yes" if pdf else ""}
    name = _contact_name(document)
    greeting = words.text("greeting", "known" if name else "unknown")
    footer = words.text("footer", "reply")
    _check_whole(key, found, tokens, document)
    return Texts(
        language=words.code,
        title=put(_title(key, words), tokens),
        subject=put(found["subject"], tokens),
        preheader=_capitalised(put(found["preheader"], tokens).removeprefix(" · ")),
        greeting=put(greeting, {"contact": name}),
        lead=put(found["lead"], tokens),
        button=put(found.get("button", ""), tokens),
        footer=footer,
    )


def put(text: str, tokens: Mapping[str, str]) -> str:
    """Fill in `{token}`; leave out `[…]` that holds an empty token, and `[?name …]` when `name` is empty."""

    def option(match: re.Match[str]) -> str:
        asked = [match[1]] if match[1] else _TOKEN.findall(match[2])
        return match[2] if all(tokens[name] for name in asked) else ""

    return _TOKEN.sub(lambda match: tokens[match[1]], _OPTIONAL.sub(option, text))


def _check_whole(key: str, found: Mapping[str, str], tokens: Mapping[str, str], document: Document) -> None:
    """Raise `Refused` for the first token outside of […] that is empty, by the field it comes from."""
    for name in ("subject", "preheader", "lead", "button"):
        for token in _TOKEN.findall(_OPTIONAL.sub("", found.get(name, ""))):
            if not tokens[token]:
                field = _FIELDS.get(token, token)
                text = f"{document.type} {document.number} has no {field}, which the template {key} speaks of"
                raise Refused(554, "5.6.0", text)


def _title(key: str, words: Language) -> str:
    """The heading of the mail: the document's name and number where it has one, else the subject."""
    about_invoice = key in ("new_invoice", "unpaid_invoice", "late_payment_reminder", "paid_invoice")
    return "{Doc} {number}" if about_invoice else words.template(key)["subject"]


def _tokens(words: Language, document: Document, company: str, today: date) -> dict[str, str]:
    noun, totals, currency = words.noun(document), document.totals, document.currency
    due = date_of(document.due_date)
    plan, statement, subscription = document.payment_plan, document.statement, document.subscription
    installments = len(plan.installments) if plan else 0
    amount = _amount(document)
    balance = statement.closing_balance if statement else balance_of(document) if totals else amount
    renewal = date_of(subscription.next_billing_on) if subscription else None
    paid = document.receipt.paid_at if document.receipt else document.refund.refunded_at if document.refund else ""
    tokens = dict(noun) | {
        "Doc": _capitalised(noun["doc"]),
        "number": document.number,
        "company": company,
        "customer": document.customer.name,
        "amount": words.money(amount, currency),
        "balance": words.money(balance, currency),
        "due_date": words.date(document.due_date),
        "valid_until": words.date(_valid_until(document)),
        "days_late": words.count("days", max((today - due).days, 0)) if due else "",
        "in_days": words.in_days((renewal - today).days) if renewal else "",
        "paid_date": words.date(paid),
        "installments_text": words.count("installments", installments) if installments else "",
        "reason": document.autopay.reason.rstrip(".") if document.autopay else "",
        "next_attempt": words.date(document.autopay.next_attempt_at) if document.autopay else "",
        "period": words.period(statement.start, statement.end) if statement else "",
        "date": words.date(statement.end) if statement else "",
        "plan": subscription.plan if subscription else "",
        "start_date": words.date(subscription.starts_on or subscription.next_billing_on) if subscription else "",
    }
    return {name: _BREAK.sub(" ", text) for name, text in tokens.items()}


def _valid_until(document: Document) -> str:
    issued = date_of(document.issue_date)
    if document.due_date or issued is None or document.valid_days is None:
        return document.due_date
    return (issued + timedelta(days=document.valid_days)).isoformat()


def balance_of(document: Document) -> str:
    """What is still to be paid: the balance as given, else what total, paid and credited say."""
    totals = document.totals
    if totals is None:
        return ""
    return totals.balance or f"{decimal_of(totals.total) - decimal_of(totals.paid) - decimal_of(totals.credited):f}"


def _amount(document: Document) -> str:
    """What the document is about: the amount of its own part, else its total."""
    parts = {
        "receipt": document.receipt,
        "refund": document.refund,
        "autopay_failure": document.autopay,
        "subscription": document.subscription,
    }
    part = parts.get(document.type)
    if part is not None and part.amount:
        return part.amount
    return document.totals.total if document.totals else ""


def _contact_name(document: Document) -> str:
    """Whom to greet by name: the only person the mail is addressed to."""
    party = document.payer_or_customer
    first = [recipient for recipient in document.recipients() if recipient.kind == "to"]
    if len(first) != 1 or not first[0].name or len(first[0].name) > 80 or "@" in first[0].name:
        return ""
    return "" if first[0].name == party.name and party.kind != "person" else first[0].name


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _unbroken(text: str) -> str:
    """A number in one piece, with a minus that is one: its spaces are the no-break space that every font has."""
    return text.replace("\u202f", _NBSP).replace(" ", _NBSP).replace("-", "\u2212")


def is_zero(text: str) -> bool:
    """Whether an amount says nothing: "" or 0.00."""
    return decimal_of(text) == Decimal(0)


@functools.cache
def _load(name: str) -> dict[str, Any]:
    if name == "reason_table":
        found: dict[str, Any] = _load("templates")["reason"]
        return found
    data = tomllib.loads((files("gateway") / "templates" / "email" / f"{name}.toml").read_text("utf-8"))
    if name in LANGUAGES and (missing := set(_TABLES) - data.keys()):
        raise ValueError(f"templates/email/{name}.toml lacks {', '.join(sorted(missing))}")
    return data
