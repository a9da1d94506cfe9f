"""Reads recipients out of the words of a report, and adds to the machine-readable ones what only the words say.

Called by `mail.dsn.read`. Never makes up a code: what the words do not carry stays "" or 0.
"""

import re
from dataclasses import replace
from functools import lru_cache

from gateway.mail.dsn.addresses import find_addresses
from gateway.mail.dsn.codes import find_code, find_codes
from gateway.mail.dsn.decode import tidy
from gateway.mail.dsn.parts import Part
from gateway.mail.dsn.report import ReportedRecipient, Returned
from gateway.mail.dsn.shapes import Found, find_recipients, read_table
from gateway.mail.status import Action, DeliveryStatus

_NO_WORDS = re.compile(r"[\W\d_]+")


def read_prose(top: Part, notice: str, own: frozenset[str], expected: frozenset[str]) -> list[ReportedRecipient]:
    """Whom X-Failed-Recipients or the words name, each with its codes."""
    failed = [
        hit.address
        for value in top.fields.get("x-failed-recipients", [])[:50]
        for hit in find_addresses(value[:20_000], 500)
    ]
    wanted = frozenset(address.lower() for address in failed)
    found = find_recipients(notice, own - wanted, expected | wanted)
    if failed:
        by_key = {one.address.lower(): one for one in found}
        found = [by_key.get(address.lower(), Found(address)) for address in failed]
    _share_words(found)
    apart = len(found) > 1 and any(any(find_codes(one.text)) for one in found)
    return [_read_found(one, notice, len(found) == 1, apart) for one in found]


def _share_words(found: list[Found]) -> None:
    """What stands after a list of recipients is about all of them: who has no words of its own has the next one's."""
    text = ""
    for one in reversed(found):
        if len(_NO_WORDS.sub("", one.text.replace(one.address, ""))) >= 8:
            text = one.text
        elif text and one.lines:
            one.text = f"{one.address} {text}"


def _read_found(one: Found, notice: str, alone: bool, apart: bool = False) -> ReportedRecipient:
    code, status = find_codes(one.text)
    text = one.text
    if not code or not status:
        # What stands before a list of recipients is about all of them, unless each has codes or words of its own.
        wide_code, wide_status = _wide_codes(notice)
        lead = str(code)[:1] if code else status[:1]
        if alone or not (code or status or apart):
            code = code or (wide_code if not lead or str(wide_code)[:1] == lead else 0)
            status = status or (wide_status if not lead or wide_status[:1] == lead else "")
            text = text or notice
    outcome = DeliveryStatus(action_of(notice, code, status), status, code, tidy(text))
    return ReportedRecipient(
        address=one.expanded_from or one.address,
        original=one.expanded_from,
        final=one.address,
        status=outcome,
        diagnostic=tidy(text, 2000),
    )


@lru_cache(maxsize=4)  # one notice may have thousands of recipients
def _wide_codes(notice: str) -> tuple[int, str]:
    return find_codes(notice[:20_000])


@lru_cache(maxsize=4)
def _tells(notice: str) -> tuple[bool, bool, bool, bool, bool]:
    """Whether a notice speaks of a delay, of retries, of a fault for a while, of giving up, of success alone."""
    table = read_table()
    words = notice[:10_000].lower()
    return (
        bool(table.delay.search(words)),
        bool(table.retries.search(words)),
        any(word in words for word in ("temporar", "delay", "warning", "временн", "întârzi")),
        bool(table.gaveup.search(words)),
        bool(table.success.search(words)) and not table.failure.search(words),
    )


def action_of(notice: str, code: int, status: str) -> Action:
    """Failed, delayed or delivered, by the words of a notice that has no fields."""
    lead = status[:1] or str(code or "")[:1]
    delay, retries, passing, gaveup, success = _tells(notice)
    # "Temporary problem, will be retried" with a 550 is a delay: whoever retries decides, not the code.
    if delay and (retries and passing if lead == "5" else retries or not gaveup):
        return Action.DELAYED
    return Action.DELIVERED if not lead and success else Action.FAILED


def add_prose(recipients: list[ReportedRecipient], notice: str, own: frozenset[str]) -> list[ReportedRecipient]:
    """Add what only the prose says: codes and words where the fields have none."""
    if all(one.status.code and one.diagnostic for one in recipients):
        return recipients
    keys = frozenset(one.address.lower() for one in recipients) | frozenset(one.final.lower() for one in recipients)
    found = {one.address.lower(): one for one in find_recipients(notice, own - keys, keys)} if notice else {}
    filled: list[ReportedRecipient] = []
    for one in recipients:
        said = found.get(one.final.lower()) or found.get(one.address.lower())
        if len(recipients) == 1 and notice and (said is None or not any(find_codes(said.text))):
            said = Found(one.address, text=notice)
        if said is None or (one.status.code and one.diagnostic):
            filled.append(one)
            continue
        code, status = find_codes(said.text)
        old = one.status
        lead = old.status[:1] or str(old.code or "")[:1]
        code = code or (find_code(notice[:20_000], lead) if len(recipients) == 1 else 0)
        code = old.code or (code if not lead or str(code)[:1] == lead else 0)
        better = status and (not old.status or (old.status.endswith(".0.0") and status[0] == old.status[0]))
        filled.append(
            replace(
                one,
                diagnostic=one.diagnostic or tidy(said.text, 2000),
                status=replace(
                    old, code=code, status=status if better else old.status, text=old.text or tidy(said.text)
                ),
            )
        )
    return filled


def merge_fields(one: ReportedRecipient, lead: ReportedRecipient) -> ReportedRecipient:
    """A recipient that only the prose names, with the fields that name none."""
    status = replace(
        lead.status,
        status=lead.status.status or one.status.status,
        code=lead.status.code or one.status.code,
        text=lead.status.text or one.status.text,
    )
    return replace(
        lead,
        address=one.address,
        original=one.original,
        final=one.final,
        status=status,
        diagnostic=lead.diagnostic or one.diagnostic,
    )


def read_unnamed(notice: str, original: Returned, own: frozenset[str]) -> list[ReportedRecipient]:
    """Nobody is named: the returned mail's only recipient, or nobody at all."""
    others = [address for address in dict.fromkeys(original.to) if address.lower() not in own] or list(
        dict.fromkeys(original.to)
    )
    address = others[0] if len(others) == 1 else ""
    return [_read_found(Found(address, text=notice), notice, True)]
