"""Whether a DKIM key stands in DNS as it must (RFC 6376 §3.6), and if not, what went wrong when it was typed in.

Called by `outbound.domain_check`; pure. A key of 2048 bits is longer than the 255 bytes of one string, so most faults
are of that kind: cut, split into two records, or with the quotes in it. Others: the name with the domain twice, the
record of the other key, two records at one name.
"""

import re

from gateway.outbound.dns_answers import Seen
from gateway.outbound.findings import ERROR, WARNING, Finding, cut, unknown
from gateway.outbound.signing import zone_text
from gateway.store.domains import StoredKey

STRING = 255  # bytes of one string of a TXT record


def check_key(seen: Seen, key: StoredKey, others: dict[str, str]) -> tuple[bool | None, list[Finding]]:
    """(whether the record is right, None when DNS is silent; findings). `others`: p= of our other keys → selector."""
    name = f"{key.selector}._domainkey.{key.domain}"
    answer = seen.ask(name, "TXT")
    if not answer.known:
        return None, [unknown(name, answer.words)]
    if _is_split(key, answer.records):
        words = f"the key at {name} was cut into several records"
        todo = f"make it one record of several strings; {publish(key, name)}"
        return False, [Finding(ERROR, "dkim-split", name, words, todo)]
    texts = [text for text in answer.records if _is_key(text)]
    if not texts:
        return _absent(seen, key, name, answer.records)
    if len(texts) > 1:
        return False, [_several(key, name, texts)]
    return _judge(key, name, texts[0], others)


def publish(key: StoredKey, name: str) -> str:
    """What to do: the record in the form that a zone file has."""
    return f"publish at {name} one TXT record: {zone_text(key.public_record)}"


def _is_key(text: str) -> bool:
    return bool(re.match(r"[\s\"\\]*v\s*=\s*DKIM1|.*\bp\s*=", text, re.S))


def _absent(seen: Seen, key: StoredKey, name: str, records: tuple[str, ...]) -> tuple[bool | None, list[Finding]]:
    expected = _bare(key.public_record)
    joined = _bare("".join(records))
    if records and joined and joined in expected:
        words = f"the record at {name} is only a piece of the key: {cut(records[0])}"
        return False, [Finding(ERROR, "dkim-cut", name, words, publish(key, name))]
    twice = f"{name}.{key.domain}"
    doubled = seen.ask(twice, "TXT")
    if any(_is_key(text) for text in doubled.records):
        words = f"the record stands at {twice}: your DNS editor adds the domain by itself"
        todo = f"enter the name as {key.selector}._domainkey, without {key.domain}"
        return False, [Finding(ERROR, "dkim-doubled", name, words, todo)]
    words = f"DNS has no DKIM record at {name}: nobody can check our {key.algorithm} signature"
    return False, [Finding(ERROR, "dkim-missing", name, words, publish(key, name))]


def _is_split(key: StoredKey, records: tuple[str, ...]) -> bool:
    """Whether the record was entered as several, a piece each."""
    expected = _bare(key.public_record)
    pieces = [piece for piece in map(_bare, records) if len(piece) > 1 and piece in expected]
    return len(pieces) > 1 and sum(map(len, pieces)) == len(expected)


def _several(key: StoredKey, name: str, texts: list[str]) -> Finding:
    words = f"there are {len(texts)} DKIM records at {name}: a receiver takes any of them"
    return Finding(ERROR, "dkim-several", name, words, f"leave only this one: {zone_text(key.public_record)}")


def _judge(key: StoredKey, name: str, text: str, others: dict[str, str]) -> tuple[bool | None, list[Finding]]:
    def wrong(code: str, words: str, todo: str = "") -> tuple[bool, list[Finding]]:
        return False, [Finding(ERROR, code, name, words, todo or publish(key, name))]

    if '"' in text or "\\" in text:
        return wrong("dkim-quotes", f"the record at {name} has quotes or backslashes in its value: {cut(text)}",
                     "enter the value without quotes; your DNS editor sets them itself")  # fmt: skip
    tags = _tags(text)
    found, wanted = re.sub(r"\s", "", tags.get("p", "")), _tags(key.public_record)
    if "p" in tags and not found:
        return wrong("dkim-revoked", f"the key at {name} is revoked: its p= is empty")
    if found != wanted["p"]:
        if found and wanted["p"].startswith(found):
            size = len(text.encode())
            words = f"the key at {name} was cut after {size} of {len(key.public_record)} bytes"
            if size in (STRING, STRING - 1):
                words += f", at the {STRING} bytes of one string"
            return wrong("dkim-cut", words)
        if found in others:
            return wrong("dkim-swapped", f"at {name} stands the key of the selector {others[found]}")
        return wrong("dkim-other-key", f"at {name} stands another key than the one we sign with: {cut(text)}")
    if (version := tags.get("v", "DKIM1")) != "DKIM1" or ("v" in tags and next(iter(tags)) != "v"):
        return wrong("dkim-syntax", f"the record at {name} must begin with v=DKIM1; it has v={version}")
    if tags.get("k", "rsa") != wanted.get("k", "rsa"):
        return wrong("dkim-syntax", f"the record at {name} says k={tags.get('k', 'rsa')}")
    if "h" in tags and "sha256" not in tags["h"].split(":"):
        return wrong("dkim-syntax", f"the record at {name} forbids SHA-256: h={tags['h']}")
    if "s" in tags and not {"*", "email"} & set(tags["s"].split(":")):
        return wrong("dkim-syntax", f"the record at {name} is not for mail: s={tags['s']}")
    if "y" in tags.get("t", "").split(":"):
        words = f"the record at {name} says t=y: a test, and receivers treat its mail as unsigned"
        return True, [Finding(WARNING, "dkim-testing", name, words, "take t=y out of it")]
    return True, []


def _tags(text: str) -> dict[str, str]:
    """Tags of a tag=value list (RFC 6376 §3.2), in order; the first of each counts."""
    found: dict[str, str] = {}
    for part in text.split(";"):
        name, equals, value = part.partition("=")
        if equals:
            found.setdefault(name.strip(), value.strip())
    return found


def _bare(text: str) -> str:
    return re.sub(r"[\s\"]", "", text)
