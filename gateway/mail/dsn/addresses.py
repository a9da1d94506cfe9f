"""Mail addresses in foreign text: found by their @, with where they stand.

Called by everything that reads prose or broken fields. Linear in the text; an address is at most 64 characters, @, 255
characters. Nothing here says that an address exists or is well formed for sending: `mail.address` does that.
"""

import re
from dataclasses import dataclass

_LOCAL_END = re.compile(
    r"[^\s\"(),:;<>@\[\]\\{}|\x00-\x1f\x7f\u3001-\u3011\uff08-\uff0c\uff1a\uff1b\uff1c\uff1e]{1,64}\Z"
)
# Chinese, Japanese and Korean put no space between a word and an address: of such a run only its ASCII end is one.
_UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uff01-\uff60](?=[!-~]{1,64}\Z)")
_QUOTED_END = re.compile(r'"[^"\\\n@]{1,62}"\Z')
_DOMAIN = re.compile(r"(?:\[[0-9a-fA-F.:IPv]{3,50}\]|[^\W_](?:[\w.-]{0,253}\w)?)")
_PREFIX = re.compile(
    r"(?:smtp|mailto|rfc822|to|from|for|in|address|recipient|email|e-mail|dda|x400|ea|rcpt|user|orcpt)=(?=.)", re.I
)
OCCURRENCE_LIMIT = 2000


@dataclass(frozen=True, slots=True)
class Occurrence:
    """An address in a text, from `start` to `end`."""

    address: str
    start: int
    end: int


def find_addresses(text: str, limit: int = OCCURRENCE_LIMIT) -> list[Occurrence]:
    """Every address in `text`, in order."""
    found: list[Occurrence] = []
    at = text.find("@")
    floor = 0
    while at >= 0 and len(found) < limit:
        hit = _address_at(text, at, floor)
        if hit:
            found.append(hit)
            floor = hit.end
        at = text.find("@", at + 1)
    return found


def find_address(text: str) -> str:
    """The last address of a field's value ("Name <a@b>", "@route:a@b", "a@b"), or ""."""
    found = find_addresses(text, 20)
    return found[-1].address if found else ""


def _address_at(text: str, at: int, floor: int) -> Occurrence | None:
    domain = _DOMAIN.match(text, at + 1, min(len(text), at + 257))
    if not domain:
        return None
    head = text[max(floor, at - 66) : at]
    local = _QUOTED_END.search(head) if head.endswith('"') else _LOCAL_END.search(head)
    if not local:
        return None
    name = local[0]
    if name[0] != '"':
        prefix = _PREFIX.match(name)
        if prefix:
            name = name[prefix.end() :]
        name = name if name.startswith("=?") else name.lstrip("'`*=-.>#!/«“„‘")
        if not name.isascii() and domain[0].isascii():
            cut = list(_UNSPACED.finditer(name))
            name = name[cut[-1].end() :] if cut else name
    end = domain.end()
    name_start = at - len(name)
    host = domain[0]
    while host.endswith(("-", ".", "_")):
        host = host[:-1]
    if not name or (".." in host and "[" not in host) or not host:
        return None
    return Occurrence(f"{name}@{host}", name_start, at + 1 + len(host) if host != domain[0] else end)
