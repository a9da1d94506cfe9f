"""The X-AR-* header fields by which a billing system tells the gateway more about a mail that it composed.

Read by the door, stripped by branding. What only describes (document, number, language, tags) is used or kept; what
would change *whether or when* mail leaves is refused until this gateway does it, never ignored in silence; a name that
is none of ours is refused with a suggestion.
"""

import difflib
import re
from dataclasses import dataclass

from gateway.mail.message import Head
from gateway.mail.reply import Refused

DESCRIBING = frozenset(
    """x-ar-document x-ar-number x-ar-amount x-ar-balance x-ar-issued x-ar-due x-ar-status x-ar-customer
    x-ar-customer-name x-ar-view-url x-ar-pay-url x-ar-language x-ar-tag""".split()
)
DECIDING = frozenset(
    """x-ar-event x-ar-template x-ar-idempotency-key x-ar-send-at x-ar-delay x-ar-attach-pdf x-ar-button x-ar-thread
    x-ar-force x-ar-test""".split()
)
_DOCUMENT = re.compile(r"([a-z_]{1,20})/(\S{1,191})\Z")


@dataclass(frozen=True, slots=True)
class Control:
    """What the header says about a composed mail: the document it is about, its number, language and customer."""

    document_type: str = ""
    document_id: str = ""
    number: str = ""
    language: str = ""
    customer: str = ""

    @property
    def thread_key(self) -> str:
        """The key of the thread that the mail belongs to; "" for one of its own."""
        return f"{self.document_type}/{self.document_id}" if self.document_type else ""


def read_control(head: Head) -> Control:
    """The fields of a mail. Raises Refused 554 5.6.0 for unknown, unsupported and malformed ones."""
    found: dict[str, str] = {}
    for item in head.fields:
        if not item.name.startswith(b"x-ar-"):
            continue
        name = item.name.decode("ascii", "replace")
        if name in DECIDING and not (name == "x-ar-template" and head.text(name).strip() == "none"):
            raise Refused(554, "5.6.0", f"{_shown(name)} is not supported by this version; send the mail without it")
        if name not in DESCRIBING and name not in DECIDING and not name.startswith("x-ar-meta-"):
            near = difflib.get_close_matches(name, sorted(DESCRIBING | DECIDING), 1)
            hint = f"; did you mean {_shown(near[0])}?" if near else ""
            raise Refused(554, "5.6.0", f"{_shown(name[:60])} is not a field of this gateway{hint}")
        found[name] = head.text(name).strip()
    return _control(found) if found else Control()


def _control(found: dict[str, str]) -> Control:
    document = found.get("x-ar-document", "")
    matched = _DOCUMENT.match(document)
    if document and not matched:
        raise Refused(554, "5.6.0", f'X-AR-Document "{document[:100]}" is not type/id; write invoice/inv_8812')
    language = found.get("x-ar-language", "")
    if language and language not in ("ro", "ru", "en"):
        raise Refused(554, "5.6.0", f'X-AR-Language "{language[:20]}" is not one of ro, ru, en')
    return Control(
        document_type=matched[1] if matched else "",
        document_id=matched[2] if matched else "",
        number=found.get("x-ar-number", "")[:100],
        language=language,
        customer=(found.get("x-ar-customer-name") or found.get("x-ar-customer", ""))[:300],
    )


def _shown(name: str) -> str:
    return "-".join(
        part.upper() if part in ("x", "ar", "pdf", "url") else part.capitalize() for part in name.split("-")
    )
