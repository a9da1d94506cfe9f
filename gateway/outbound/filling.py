"""Puts the facts of one document into the texts of a template.

Called by rendering and lint. `fill` promises that no sentence has a hole: a part of one whose token is unknown is left
out; a document that lacks what the sentence is about is refused, with the field that is missing. The marks of a text:
`{token}`; `[ … ]`, left out when a token in it is empty; `[?name … ]`, left out when the named fact does not hold.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from gateway.mail.reply import Refused
from gateway.outbound.documents.fields import date_of, decimal_of
from gateway.outbound.documents.model import Document
from gateway.outbound.texts import Language, balance_of, capitalised, language, noun_of

__all__ = ["TOKENS", "Texts", "amount_of", "fill", "put", "valid_until"]

OPTIONAL = re.compile(r"\[(?:\?(\w+) )?([^\]]*)\]")
TOKEN = re.compile(r"\{(\w+)\}")
_BREAK = re.compile(r"[ \t\r\n\v\f\x85\u2028\u2029]+")
_FIELDS = {
    "days_late": "due_date",
    "in_days": "subscription.next_billing_on",
    "plan": "subscription.plan",
    "period": "statement.from",
    "date": "statement.to",
    "balance": "totals.balance",
    "plan_total": "totals.balance",
    "amount": "totals.total",
}  # where a token comes from, when its name does not say so
NOUNS = ("doc", "Doc", "doc_def", "doc_acc", "doc_gen", "doc_dat", "doc_short")
TOKENS = frozenset(
    (
        *NOUNS, "number", "about", "plan_number", "company", "customer", "amount", "balance", "due_date", "valid_until",
        "days_late", "in_days", "paid_date", "installments_text", "plan_total", "approve_by", "reason", "next_attempt",
        "period", "date", "plan", "start_date", "interval", "act", "pdf", "bundle", "alone",
    )
)  # fmt: skip


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


def fill(
    key: str,
    code: str,
    document: Document,
    company: str,
    today: date,
    *,
    pdf: bool = True,
    bundled: bool = False,
    texts: Mapping[str, str] | None = None,
) -> Texts:
    """The texts of template `key` in language `code` for one document.

    `company` is the tenant's name as customers know it; `today` the tenant's day; `pdf` whether a PDF goes with it and
    `bundled` whether the documents that it names are in that PDF; `texts` what a tenant says in place of ours.
    Raises `Refused` 554 5.6.0 when a sentence needs what the document lacks.
    """
    words = language(code)
    found = dict(words.template(key)) | dict(texts or {})
    tokens = _tokens(words, document, company, today)
    tokens |= {"pdf": _when(pdf), "bundle": _when(pdf and bundled), "alone": _when(pdf and not bundled)}
    name = _contact_name(document)
    _check_whole(key, found, tokens, document)
    return Texts(
        language=words.code,
        title=put(found["title"], tokens),
        subject=put(found["subject"], tokens),
        preheader=capitalised(put(found["preheader"], tokens).removeprefix(" · ")),
        greeting=put(words.text("greeting", "known" if name else "unknown"), {"contact": name}),
        lead=put(found["lead"], tokens),
        button=put(found.get("button", ""), tokens),
        footer=words.text("footer", "reply"),
    )


def put(text: str, tokens: Mapping[str, str]) -> str:
    """Fill in `{token}`; leave out `[…]` that holds an empty token, and `[?name …]` when `name` is empty."""

    def option(match: re.Match[str]) -> str:
        asked = [match[1]] if match[1] else TOKEN.findall(match[2])
        return match[2] if all(tokens[name] for name in asked) else ""

    return TOKEN.sub(lambda match: tokens[match[1]], OPTIONAL.sub(option, text))


def amount_of(document: Document) -> str:
    """What the document is about: the amount of its own part, else its total; "" when it names none."""
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


def total_of_plan(document: Document) -> str:
    """What the instalments come to, else the balance of the document."""
    installments = document.payment_plan.installments if document.payment_plan else ()
    total = sum((decimal_of(one.amount) for one in installments), Decimal(0))
    return f"{total:f}" if installments else balance_of(document)


def valid_until(document: Document) -> str:
    """The last day of an offer: its due date, else its issue date and the days that it is valid."""
    issued = date_of(document.issue_date)
    if document.due_date or issued is None or document.valid_days is None:
        return document.due_date
    return (issued + timedelta(days=document.valid_days)).isoformat()


def _check_whole(key: str, found: Mapping[str, str], tokens: Mapping[str, str], document: Document) -> None:
    """Raise `Refused` for a token that does not exist, and for one outside of […] that is empty, by its field."""
    for name, text in found.items():
        for token in (*TOKEN.findall(text), *(option[0] for option in OPTIONAL.findall(text) if option[0])):
            if token not in tokens:
                raise Refused(554, "5.6.0", f"the {name} of the template {key} speaks of {token}, which is no variable")
    for name in ("subject", "preheader", "lead", "button"):
        for token in TOKEN.findall(OPTIONAL.sub("", found.get(name, ""))):
            if not tokens[token]:
                field = _FIELDS.get(token, token)
                text = f"{document.type} {document.number} has no {field}, which the template {key} speaks of"
                raise Refused(554, "5.6.0", text)


def _when(holds: bool) -> str:
    return "yes" if holds else ""


def _tokens(words: Language, document: Document, company: str, today: date) -> dict[str, str]:
    """Every token of TOKENS but those about the PDF."""
    noun = words.noun(document.kind or "invoice" if document.type in _ABOUT_OTHERS else noun_of(document))
    amount, currency = amount_of(document), document.currency
    statement = document.statement
    balance = statement.closing_balance if statement else balance_of(document) if document.totals else amount
    paid = document.receipt.paid_at if document.receipt else document.refund.refunded_at if document.refund else ""
    tokens = dict(noun) | {
        "Doc": capitalised(noun["doc"]),
        "number": document.number,
        "about": _about(document),
        "plan_number": document.number if document.type == "payment_plan" else "",
        "company": company,
        "customer": document.customer.name,
        "amount": words.money(amount, currency),
        "balance": words.money(balance, currency),
        "valid_until": words.date(valid_until(document)),
        "paid_date": words.date(paid),
        "period": words.period(statement.start, statement.end) if statement else "",
        "date": words.date(statement.end) if statement else "",
        "act": _when(noun_of(document) == "act_de_verificare"),
    }
    tokens |= _due(words, document, today) | _plans(words, document, today)
    return {name: _BREAK.sub(" ", text) for name, text in tokens.items()}


_ABOUT_OTHERS = ("payment_plan", "autopay_failure")  # their mail speaks of the invoice that they are about


def _about(document: Document) -> str:
    """The number of the invoice that a plan or an attempt to collect is about; "" when there are several."""
    if len(document.related) == 1:
        return document.related[0].number
    return "" if document.related or document.type == "payment_plan" else document.number


def _due(words: Language, document: Document, today: date) -> dict[str, str]:
    due = date_of(document.due_date)
    autopay = document.autopay
    return {
        "due_date": words.date(document.due_date),
        "days_late": words.count("days", max((today - due).days, 0)) if due else "",
        "reason": autopay.reason.rstrip(".") if autopay else "",
        "next_attempt": words.date(autopay.next_attempt_at) if autopay else "",
    }


def _plans(words: Language, document: Document, today: date) -> dict[str, str]:
    plan, subscription = document.payment_plan, document.subscription
    installments = len(plan.installments) if plan else 0
    renewal = date_of(subscription.next_billing_on) if subscription else None
    starts = (subscription.starts_on or subscription.next_billing_on) if subscription else ""
    return {
        "plan_total": words.money(total_of_plan(document), document.currency),
        "installments_text": words.count("installments", installments) if installments else "",
        "approve_by": words.date(plan.approve_by) if plan else "",
        "in_days": words.in_days((renewal - today).days) if renewal else "",
        "plan": subscription.plan if subscription else "",
        "interval": words.interval(subscription.interval) if subscription else "",
        "start_date": words.date(starts),
    }


def _contact_name(document: Document) -> str:
    """Whom to greet by name: the only person the mail is addressed to."""
    party = document.payer_or_customer
    first = [recipient for recipient in document.recipients() if recipient.kind == "to"]
    if len(first) != 1 or not first[0].name or len(first[0].name) > 80 or "@" in first[0].name:
        return ""
    return "" if first[0].name == party.name and party.kind != "person" else first[0].name
