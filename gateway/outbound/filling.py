"""Puts the facts of one document into the texts of a template.

Called by rendering and lint. `fill` promises that no sentence has a hole: a part of one whose token is unknown is left
out; a document that lacks what the sentence is about is refused, with the field that is missing. The marks of our own
texts: `{token}`; `[ … ]`, left out when a token in it is empty; `[?name … ]`, left out when the named fact does not
hold. What a tenant says in place of ours is in another language (`tenant_language`), with the same variables.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from gateway.mail.header_text import scrub
from gateway.mail.reply import Refused
from gateway.outbound.documents.fields import date_of, decimal_of
from gateway.outbound.documents.model import Document
from gateway.outbound.tenant_facts import BUTTON_MARK, NOUNS, TOKENS, tenant_facts
from gateway.outbound.tenant_language import Missing, say
from gateway.outbound.texts import Language, balance_of, capitalised, is_settled, language, noun_of

__all__ = ["NOUNS", "PARTS", "TOKENS", "Texts", "amount_of", "fill", "put", "tell", "texts_of", "valid_until"]

PARTS = {
    "subject": 200,
    "preheader": 200,
    "title": 200,
    "text": 10_000,
    "button": 60,
}  # of a tenant; characters of each

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
    "value": "totals.total",
}  # where a token comes from, when its name does not say so


@dataclass(frozen=True, slots=True)
class Texts:
    """One template in one language, filled in; plain text, not escaped. `button` is "" when the template has none.

    `lead` may have several paragraphs, a blank line between two; `after` are those that follow the button.
    """

    language: str
    title: str
    subject: str
    preheader: str
    greeting: str
    lead: str
    button: str
    footer: str
    after: str = ""


def texts_of(settings: Mapping[tuple[str, str], Mapping[str, Any]], key: str, code: str) -> dict[str, str]:
    """What the tenant with these settings says in template `key` and language `code`, by PARTS; empty: all is ours."""
    changed = settings.get((key, code), {})
    return {part: str(changed[part]) for part in PARTS if changed.get(part)}


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
    `bundled` whether the documents that it names are in that PDF; `texts` what a tenant says instead (`texts_of`).
    Raises `Refused` 554 5.6.0 when a sentence needs what the document lacks, 501 5.5.4 when a tenant's text is wrong.
    """
    words = language(code)
    tokens = _tokens(words, document, company, today)
    tokens |= {"pdf": _when(pdf), "bundle": _when(pdf and bundled), "alone": _when(pdf and not bundled)}
    name = _contact_name(document)
    known, own = words.template(key), {part: text for part, text in (texts or {}).items() if text}
    found = {part: text for part, text in known.items() if ("text" if part == "lead" else part) not in own}
    _check_whole(key, found, tokens, document)
    told = {part: put(text, tokens) for part, text in found.items()}
    if own:
        facts = tenant_facts(document, words, tokens, name, today)
        told |= {part: _say(key, part, own[part], words, facts, document) for part in PARTS if part in own}
    lead, _, after = told.get("text", told.get("lead", "")).partition(BUTTON_MARK)
    return Texts(
        language=words.code,
        title=told["title"],
        subject=told["subject"],
        preheader=capitalised(told["preheader"].removeprefix(" · ")),
        greeting=put(words.text("greeting", "known" if name else "unknown"), {"contact": name}),
        lead=lead.strip("\n"),
        button=told.get("button", ""),
        footer=words.text("footer", "reply"),
        after=after.replace(BUTTON_MARK, "").strip("\n"),
    )


def tell(code: str, document: Document, company: str, today: date) -> dict[str, Any]:
    """Every variable that a tenant's text may speak of, of one document with a PDF."""
    words = language(code)
    tokens = _tokens(words, document, company, today) | {"pdf": "yes", "bundle": "", "alone": "yes"}
    return tenant_facts(document, words, tokens, _contact_name(document), today)


def _say(key: str, part: str, source: str, words: Language, facts: Mapping[str, Any], document: Document) -> str:
    """A part in a tenant's words, which must say something; the button's place is kept in the text only."""
    try:
        said = say(source, words.code, facts)
    except Missing as missing:
        lacking = _lacks(key, missing.path, document).reply
        text = f"{lacking.text} in its {part}; ask first, as {{% if {missing.path} %}}"
        raise Refused(lacking.code, lacking.enhanced, text) from None
    except Refused as refused:
        why = refused.reply
        text = f"the {part} of the template {key} ({words.code}), which this tenant wrote, {why.text}"
        raise Refused(why.code, why.enhanced, text) from None
    if part == "text":  # the button stands between paragraphs
        halves = [[scrub(line).rstrip() for line in half.split("\n")] for half in said.split(BUTTON_MARK)]
        said = BUTTON_MARK.join("\n".join(half).strip("\n") for half in halves)
    else:
        said = scrub(_BREAK.sub(" ", said.replace(BUTTON_MARK, ""))).strip()
    if not said.replace(BUTTON_MARK, "").strip() and part != "preheader":
        raise Refused(
            554, "5.6.0", f"the {part} of the template {key} ({words.code}) says nothing of {document.number}"
        )
    return said if len(said) <= PARTS[part] else said[: PARTS[part] - 1].rstrip() + "…"


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
                raise _lacks(key, token, document)


def _lacks(key: str, name: str, document: Document) -> Refused:
    field = _FIELDS.get(name, name.removeprefix("document."))
    return Refused(
        554, "5.6.0", f"{document.type} {document.number} has no {field}, which the template {key} speaks of"
    )


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
        "value": words.money(amount if is_settled(document) else balance, currency),
        "settled": _when(is_settled(document)),
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
        "pay_by": "" if is_settled(document) else words.date(document.due_date),
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
