"""How a document is to be paid, as text: bank accounts, cards, references; and what the QR code for paying holds.

Called by the sheet. A QR code is a payload that was given (MIA and others), else an EPC code for euros to an IBAN.
"""

import re

from gateway.outbound.documents.fields import decimal_of
from gateway.outbound.documents.model import BankMethod, Document, LinkMethod, OtherMethod, QrMethod
from gateway.outbound.facts import Fact, given, open_amount
from gateway.outbound.texts import Language

_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}\Z")


def payment_of(document: Document, words: Language) -> tuple[Fact, ...]:
    """Each way of paying as names and values, then the reference to give."""
    payment, label = document.payment, words.labels
    if payment is None:
        return ()
    pairs: list[Fact] = []
    for method in payment.methods:
        if isinstance(method, BankMethod):
            bare = re.sub(r"[ ./-]", "", method.iban)
            iban = bool(_IBAN.match(bare))
            pairs += [
                (label["holder"], method.holder),
                (label["iban"] if iban else label["account"], _grouped(bare) if iban else method.iban),
                (label["bank"], " · ".join(part for part in (method.bank, method.bic) if part)),
            ]
        elif isinstance(method, LinkMethod):
            pairs.append((method.label or label["pay_online"], method.url))
        elif isinstance(method, OtherMethod):
            pairs.append((label[method.type], method.note))
    pairs.append((label["reference"], payment.reference))
    return given(pairs)


def _grouped(iban: str) -> str:
    """An IBAN in fours, as it is printed (ISO 13616)."""
    return " ".join(iban[at : at + 4] for at in range(0, len(iban), 4))


def qr_of(document: Document) -> str:
    """What the QR code for paying holds; "" for a document that asks for nothing or is paid."""
    amount = open_amount(document)
    if not decimal_of(amount) > 0:
        return ""
    methods = document.payment.methods if document.payment else ()
    codes = [method for method in methods if isinstance(method, QrMethod)]
    for code in codes:
        if code.payload:
            return code.payload
    banks = [method for method in methods if isinstance(method, BankMethod) and method.currency in ("", "EUR")]
    if document.currency != "EUR" or not banks or (codes and all(code.scheme != "epc" for code in codes)):
        return ""
    if document.payment is None or decimal_of(amount) >= 10**9:
        return ""
    return _epc(banks[0], document.payment.reference or document.number, amount, document)


def _epc(bank: BankMethod, reference: str, amount: str, document: Document) -> str:
    """The payload of an EPC code (EPC069-12, version 002, UTF-8); "" when the account or its holder is missing."""
    name = bank.holder or (document.seller.name if document.seller else "")
    iban = re.sub(r"[ ./-]", "", bank.iban)
    if not name or not _IBAN.match(iban):
        return ""
    name, reference = (" ".join(text.split()) for text in (name, reference))
    euros = f"EUR{decimal_of(amount):.2f}"
    return "\n".join(["BCD", "002", "1", "SCT", "", name[:70], iban, euros, "", "", reference[:140]])
