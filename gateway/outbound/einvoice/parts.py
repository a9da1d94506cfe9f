"""The parts of a document that a table alone cannot map: contacts, payment methods, attachments, properties of an item.

Used by the tables of both syntaxes. Each verb looks first and marks only what it carries over.
"""

from dataclasses import dataclass
from typing import Any

from gateway.outbound.documents.fields import is_account
from gateway.outbound.einvoice.extract import Extract, Found, Table, Take, elements
from gateway.outbound.einvoice.mapping import is_mail
from gateway.outbound.einvoice.xml import Element

# Payment means by UNTDID 4461 (BT-81), as the document's schema groups them.
MEANS = {"10": "cash", "48": "card", "49": "direct_debit", "54": "card", "55": "card", "59": "direct_debit"}
CREDIT_TRANSFERS = ("30", "58")
# Exemption codes that belong to one category of tax (the CEF list VATEX; Peppol P0104 to P0111).
EXEMPTIONS = {
    "VATEX-EU-G": "G", "VATEX-EU-O": "O", "VATEX-EU-IC": "K", "VATEX-EU-AE": "AE",
    "VATEX-EU-D": "E", "VATEX-EU-F": "E", "VATEX-EU-I": "E", "VATEX-EU-J": "E",
}  # fmt: skip
MAX_PARTS = 200  # of each sort; further ones are left where they are, and listed as lost
MAX_FILES = 19  # of a document, besides the e-invoice itself, which still holds the others
MAX_FILENAME = 255
BY_MAIL = "EM"  # the scheme of an electronic address that is a mail address (CEF EAS)


def contacts(path: str, table: Table) -> Take:
    """The contacts that can be written to; the others have no place in a document, except for a telephone number."""

    def take(extract: Extract, element: Element, at: str) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        for here in elements(extract, element, path)[:MAX_PARTS]:
            place = f"{at}[{len(made)}]"
            if table["email"](extract, here, f"{place}.email"):
                made.append(extract.fill(here, table, place))
        return made

    return take


def add_endpoint(customer: dict[str, Any]) -> None:
    """Write to the customer's electronic address where it is a mail address: that is what BT-49 is for."""
    endpoint, known = customer.get("endpoint", {}), customer.get("contacts", [])
    address = endpoint.get("id", "")
    if endpoint.get("scheme") != BY_MAIL or not is_mail(address):
        return
    if any(contact["email"].lower() == address.lower() for contact in known):
        return
    customer["contacts"] = [{"email": address, "role": "billing"}, *({**contact, "send": "none"} for contact in known)]


@dataclass(frozen=True, slots=True)
class Means:
    """Where one way to pay has its parts; `named` has paths from the document's root (the payee, BT-59)."""

    path: str
    code: str
    name: tuple[str, ...]
    account: tuple[str, ...]
    bic: str
    holder: str
    card: str
    mandate: tuple[str, ...]
    debited: tuple[str, ...]
    payee: str


def methods(means: Means) -> Take:
    """The ways to pay: a bank account where it is one that a bank would take, else what the XML says, as a note."""

    def take(extract: Extract, root: Element, at: str) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        for here in elements(extract, root, means.path)[:MAX_PARTS]:
            code = extract.first(here, (means.code,))
            if code is None:
                extract.complain(
                    f"{at}[{len(made)}].type", "is missing: no code of UNTDID 4461 says how to pay (BT-81)"
                )
                continue
            if not _is_means(code.text):
                extract.complain(f"{at}[{len(made)}].type", f"{code.text[:10]!r} is no code of UNTDID 4461 (BT-81)")
            made.append(_method(extract, root, here, means, code, f"{at}[{len(made)}]"))
        return made

    return take


def _is_means(code: str) -> bool:
    return code == "ZZZ" or (code.isdecimal() and 1 <= int(code[:9]) <= 97)


def _method(extract: Extract, root: Element, here: Element, means: Means, code: Found, at: str) -> dict[str, Any]:
    account, bic = extract.first(here, means.account), extract.first(here, (means.bic,))
    holder = extract.first(here, (means.holder,))
    kind = MEANS.get(code.text, "other")
    extract.use(code, f"{at}.type")
    if kind == "other" and account and is_account(account.text):
        holder = holder or extract.first(root, (means.payee,))
        parts = {"iban": account, "bic": bic, "holder": holder}
        return {"type": "bank"} | {key: extract.use(found, f"{at}.{key}") for key, found in parts.items() if found}
    if code.text in CREDIT_TRANSFERS and account is None:
        extract.complain(f"{at}.iban", "is missing; a credit transfer has an account (BT-84)")
    card = extract.first(here, (means.card,))
    rest = [extract.first(here, means.name), account, bic, holder]
    rest += [extract.first(here, means.mandate), extract.first(here, means.debited)]
    note = [extract.use(found, f"{at}.note") for found in rest if found]
    note += [f"•••• {extract.use(card, f'{at}.note')[-4:]}"] if card else []
    return {"type": kind} | ({"note": "; ".join(note)} if note else {})


@dataclass(frozen=True, slots=True)
class Attached:
    """Where a supporting document has its parts (BG-24)."""

    path: str
    content: str
    name: str


def attachments(attached: Attached) -> Take:
    """The files inside the XML, in base64; a document that is only named, or elsewhere, is left where it is."""

    def take(extract: Extract, root: Element, at: str) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        for here in elements(extract, root, attached.path)[:MAX_PARTS]:
            content = extract.first(here, (attached.content,))
            if content is None or len(made) == MAX_FILES:
                continue
            place = f"{at}[{len(made)}]"
            filename = content.element.attributes.get("filename", "").strip()
            name = extract.first(here, (attached.name,))
            if name and (not filename or filename == name.text):
                filename = extract.use(name, f"{place}.filename")
            made.append({
                "filename": filename[:MAX_FILENAME] or f"attachment-{len(made) + 1}",
                "content_type": content.element.attributes.get("mimeCode", "").strip(),
                "content": "".join(extract.use(content, f"{place}.content").split()),
            })  # fmt: skip
        return made

    return take


def details(limit: int, texts: tuple[str, ...], properties: str, name: str, value: str) -> Take:
    """What a line says besides its name: description, note, and the item's properties as `Colour: red`."""

    def take(extract: Extract, line: Element, at: str) -> str:
        # a line without a name has its description for one
        said = [[found] for path in texts for found in extract.find(line, path) if not found.element.used]
        for here in elements(extract, line, properties)[:MAX_PARTS]:
            pair = [extract.first(here, (name,)), extract.first(here, (value,))]
            said.append([found for found in pair if found])
        kept: list[str] = []
        for pieces in said:
            more = ": ".join(found.text for found in pieces)
            if more and sum(map(len, kept)) + len(kept) + len(more) <= limit:
                kept.append(more)
                for found in pieces:
                    extract.use(found, at)
        return "\n".join(kept)

    return take


def exemption(reason: str, code: str, category: str) -> Take:
    """Why no tax is due, in words or by code. A code of another category of tax than the given one is a mistake."""

    def take(extract: Extract, element: Element, at: str) -> str:
        why, coded, given = (extract.first(element, (path,)) for path in (reason, code, category))
        belongs = EXEMPTIONS.get(coded.text.upper()) if coded else None
        found = why or coded
        said = extract.use(found, at) if found else ""
        if coded and given and belongs and belongs != given.text:
            extract.complain(
                at, f"{coded.text} is a reason of tax category {belongs}, and the category is {given.text[:10]}"
            )
            extract.origins[at] = coded
        return said

    return take
