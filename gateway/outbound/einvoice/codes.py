"""The codes of EN 16931 that the writer of e-invoices may use, and the codes that words for units mean (`codes.toml`).

Used by `complete` and `write_cii`. The lists are those that Factur-X is validated with; a document of a billing system
says "oră" or "шт." where the standard wants HUR or H87.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

AGREED = "ZZ"  # Recommendation 20: a unit agreed between the parties; its word stands beside it
ONE = "C62"  # Recommendation 20: a count of ones


@dataclass(frozen=True, slots=True)
class Codes:
    """The lists of codes; `words` are the units by their words in lower case."""

    countries: frozenset[str]
    currencies: frozenset[str]
    endpoints: frozenset[str]
    exemptions: frozenset[str]
    allowances: frozenset[str]
    charges: frozenset[str]
    units: frozenset[str]
    words: dict[str, str]


@cache
def codes() -> Codes:
    """The lists, read once."""
    lists = tomllib.loads(files("gateway.outbound.einvoice").joinpath("codes.toml").read_text("utf-8"))
    words = {word: code for code, said in lists.pop("words").items() for word in said.split()}
    return Codes(**{name: frozenset(said.split()) for name, said in lists.items()}, words=words)


def unit_code(unit: str) -> str:
    """The code of a unit: what its word means, the code that it is, or ZZ when it is neither or both."""
    known, meant = codes(), codes().words.get(unit.strip().casefold(), "")
    if unit.strip() in known.units:
        return unit.strip() if meant in ("", unit.strip()) else AGREED
    return meant or (AGREED if unit.strip() else ONE)
