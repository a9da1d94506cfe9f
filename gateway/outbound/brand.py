"""How a tenant looks: its name, its numbers, its colour and its logo.

Given by whoever composes a mail; used by the sheet, the mail and the PDF. A colour that is none, and a logo that is
neither PNG nor JPEG, are not used. Text on the tenant's colour is black or white, whichever reads better.
"""

import re
from dataclasses import dataclass

DEFAULT_COLOUR = "#0b6b4f"
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Brand:
    """How a tenant looks. `colour` is #rrggbb (else ours is used); `logo` PNG or JPEG bytes; `language` its default.

    `einvoice` "factur-x": the PDF of an invoice or credit note carries it as XML too; it wants `country`.
    """

    company: str
    contact_email: str = ""
    phone: str = ""
    address: str = ""
    idno: str = ""
    vat: str = ""
    colour: str = ""
    logo: bytes | None = None
    language: str = "ro"
    country: str = ""
    einvoice: str = ""

    @property
    def accent(self) -> str:
        """The colour of bars and buttons."""
        return self.colour.lower() if _COLOUR.match(self.colour) else DEFAULT_COLOUR

    @property
    def on_accent(self) -> str:
        """Black or white, whichever reads better on the accent: one of them has a contrast of 4.5 on any colour."""
        if contrast(self.accent, "#ffffff") >= contrast(self.accent, "#000000"):
            return "#ffffff"
        return "#14161a" if contrast(self.accent, "#14161a") >= 4.5 else "#000000"

    @property
    def logo_type(self) -> str:
        """`image/png`, `image/jpeg`, or "" for a logo that is neither (and is not shown)."""
        if self.logo and self.logo.startswith(b"\x89PNG\r\n\x1a\n"):
            return "image/png"
        return "image/jpeg" if self.logo and self.logo.startswith(b"\xff\xd8\xff") else ""


def contrast(one: str, other: str) -> float:
    """How well two colours (#rrggbb) read on one another, 1 to 21 (WCAG 2, §1.4.3)."""
    dark, light = sorted(_luminance(colour) for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(int(colour[at : at + 2], 16) / 255) for at in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)
