"""The addresses that bring mail back to us: return paths (VERP) and reply addresses of threads.

A return path is `b+TOKEN@return.domain`, its token random per delivery and looked up in the database. A reply address
is `tenant+TOKEN@inbox.domain`; its token is the thread's id and a MAC over tenant and thread, so that nobody who has
not had mail from a thread can write into it. Both survive servers that fold case. Pure: randomness and keys are given.
"""

import base64
import hashlib
import hmac
import re

from gateway.mail.address import Address

ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
TOKEN_LENGTH = 16  # 80 bits
ID_LENGTH = 20  # length of the ids that `store.database.new_id` makes
MAC_LENGTH = 13  # 65 bits; the local part stays within 64 bytes with a tenant name of 30
RETURN_PREFIX = "b"

_TOKEN = re.compile(rf"[{ALPHABET}]{{{TOKEN_LENGTH}}}\Z")


def base32(raw: bytes, length: int) -> str:
    """The first `length` characters of `raw` in lower-case base32 (RFC 4648 §6), without padding."""
    return base64.b32encode(raw).decode("ascii").lower()[:length]


def return_token(random: bytes) -> str:
    """A delivery's token from ten random bytes."""
    return base32(random, TOKEN_LENGTH)


def return_path(token: str, domain: str) -> str:
    """The envelope sender of one delivery."""
    return f"{RETURN_PREFIX}+{token}@{domain}"


def read_return_path(address: Address) -> str:
    """The token in a return path, or "" when the local part is not one of ours."""
    prefix, plus, token = address.local.lower().partition("+")
    return token if plus and prefix == RETURN_PREFIX and _TOKEN.match(token) else ""


def thread_mac(key: bytes, tenant_id: str, thread_id: str) -> str:
    """The proof in a reply address that this gateway wrote it (HMAC-SHA-256, cut to 65 bits)."""
    digest = hmac.new(key, f"{tenant_id}/{thread_id}".encode(), hashlib.sha256).digest()
    return base32(digest, MAC_LENGTH)


def reply_address(slug: str, key: bytes, tenant_id: str, thread_id: str, domain: str) -> str:
    """The Reply-To of a thread's mail: `slug+THREADMAC@domain`, at most 64 bytes before the @."""
    return f"{slug}+{thread_id}{thread_mac(key, tenant_id, thread_id)}@{domain}"


def read_reply_address(address: Address) -> tuple[str, str, str]:
    """(tenant's slug, thread id, MAC) of a reply address; ("", "", "") when it cannot be one."""
    slug, plus, token = address.local.lower().partition("+")
    if not plus or len(token) != ID_LENGTH + MAC_LENGTH:
        return "", "", ""
    return slug, token[:ID_LENGTH], token[ID_LENGTH:]


def same_mac(left: str, right: str) -> bool:
    """Compare two MACs in constant time."""
    return hmac.compare_digest(left.encode(), right.encode())
