"""Mail addresses as the gateway uses them: one mailbox, split at its last @, compared without case in the domain.

Called by the doors, the CLI and the parsers. Refuses what RFC 5321 §4.5.3.1 calls too long and what could break a
header or a command line. Quoted local parts are kept as they are; source routes are not supported.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from gateway.mail.reply import Refused

_LOCAL = re.compile(r'(?:[^\s"(),:;<>@\[\]\\\x00-\x1f\x7f]+|"(?:[^"\\\x00-\x1f\x7f]|\\[^\x00-\x1f\x7f])*")\Z')
_LABEL = re.compile(r"[^\W_](?:[\w-]{0,61}[^\W_])?\Z")
_LITERAL = re.compile(r"\[(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|ipv6:[0-9a-f:.]+)\]\Z", re.I)


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox. `domain` is lower-case; `local` is kept as written (RFC 5321 §2.4)."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"

    @property
    def key(self) -> str:
        """What two spellings of one mailbox share: lower-case. For look-ups, never for sending."""
        return f"{self.local}@{self.domain}".lower()

    @property
    def ascii(self) -> bool:
        """False when the address needs SMTPUTF8 (RFC 6531); an IDN domain alone does not."""
        return self.local.isascii()

    @property
    def ascii_domain(self) -> str:
        """The domain as DNS and a server without SMTPUTF8 know it (A-labels, RFC 5890)."""
        if self.domain.isascii():
            return self.domain
        try:
            return self.domain.encode("idna").decode("ascii")
        except UnicodeError:
            return self.domain


@lru_cache(maxsize=4096)  # one mail names the same few addresses a dozen times; what is refused is not kept
def parse_address(text: str) -> Address:
    """Parse `local@domain` (angle brackets allowed).

    Raises `Refused` 501 5.1.3 when it is not one mailbox, too long, or holds characters that no address may.
    """
    bare = text.strip()
    if bare.startswith("<") and bare.endswith(">"):
        bare = bare[1:-1].strip()
    local, at, domain = bare.rpartition("@")
    domain = domain.lower().rstrip(".")
    if not at or not _LOCAL.match(local) or not valid_domain(domain):
        raise Refused(501, "5.1.3", f"{bare[:100]!r} is not a mail address; write local@domain")
    if len(local.encode()) > 64 or len(domain.encode()) > 255:
        raise Refused(501, "5.1.3", f"the address {bare[:60]!r}… is longer than RFC 5321 allows (64@255 bytes)")
    if local.startswith(".") or local.endswith(".") or (".." in local and not local.startswith('"')):
        raise Refused(501, "5.1.3", f"{bare[:100]!r} has a misplaced dot before the @")
    return Address(local, domain)


def valid_domain(domain: str) -> bool:
    """Whether `domain` could be a host or mail domain (LDH or U-labels), or an address literal."""
    if _LITERAL.match(domain):
        return True
    labels = domain.split(".")
    return bool(domain) and len(domain) <= 253 and all(_LABEL.match(label) for label in labels)
