"""Seller and customer as EN 16931 wants them: a country, VAT numbers with theirs, schemes that exist.

Called by `complete`. A VAT number without the letters of a country is a national one, and its country is that of the
party's address (BR-CO-09): Moldova's 0600123 becomes MD0600123.
"""

import re

from gateway.outbound.documents import Document, Party
from gateway.outbound.documents.sums import Complaint
from gateway.outbound.einvoice.codes import codes

GREECE = {"GR": "EL"}  # its numbers begin with EL
_PREFIXED = re.compile(r"(?P<country>[A-Z]{2})(?=.*[0-9])[0-9A-Z+*./ -]{2,}\Z")


def complete_parties(document: Document, found: list[Complaint]) -> Document:
    """The document with complete parties; what they lack is added to `found`."""
    if document.seller is None:
        found.append(("seller", "is missing: hand over its name, address with country, and numbers (BG-4)"))
    else:
        document = document.model_copy(update={"seller": _complete(document.seller, "seller", "BT-40", found)})
    return document.model_copy(update={"customer": _complete(document.customer, "customer", "BT-55", found)})


def _complete(party: Party, at: str, term: str, found: list[Complaint]) -> Party:
    country = party.address.country if party.address else ""
    if not country:
        found.append((f"{at}.address.country", f"is missing; write two capitals (ISO 3166), as MD ({term})"))
    elif country not in codes().countries:
        found.append((f"{at}.address.country", f'"{country}" is no country of ISO 3166 ({term})'))
    values: dict[str, object] = {}
    if party.vat:
        values["vat"] = _vat(party.vat, country)
        if not values["vat"]:
            found.append((f"{at}.vat", f'"{party.vat[:30]}" does not begin with a country, as MD0600123 (BR-CO-09)'))
    endpoint = party.endpoint
    if endpoint is not None and endpoint.id and endpoint.scheme not in codes().endpoints:
        found.append((f"{at}.endpoint.scheme", f'"{endpoint.scheme[:20]}" is not in the list EAS; EM is for mail'))
    return party.model_copy(update=values)


def _vat(number: str, country: str) -> str:
    """A VAT number with the prefix of its country; "" when that is not known."""
    bare = "".join(number.split()).upper()
    given = _PREFIXED.match(bare)
    if given and (given["country"] in codes().countries or given["country"] in GREECE.values()):
        return bare
    return GREECE.get(country, country) + bare if country else ""
