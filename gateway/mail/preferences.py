"""The proof in a link by which a customer turns reminders off: who may follow it, for which thread of which tenant.

Made for header and footer of reminders (`outbound.letterhead`), read by the page (`web.preferences`). A token holds
thread, tenant and a MAC over both, with a key of its own purpose, so that it proves nothing about a reply address and
the other way round. It holds no address and no name, and does not expire: the way back stands behind the same link.
"""

import hashlib
import hmac
import re

from gateway.mail.verp import ID_LENGTH, base32, same_mac

PURPOSE = b"preferences"
MAC_LENGTH = 26  # 130 bits: a link is tried from anywhere, at any speed
TOKEN_LENGTH = 2 * ID_LENGTH + MAC_LENGTH
ONE_CLICK = ("List-Unsubscribe", "One-Click")  # what a mail program posts (RFC 8058 §3.1)

_TOKEN = re.compile(rf"[0-9a-z]{{{TOKEN_LENGTH}}}\Z")


def preferences_key(reply_key: bytes) -> bytes:
    """The key of these links, made of the key of reply addresses."""
    return hmac.new(reply_key, PURPOSE, hashlib.sha256).digest()


def preferences_token(key: bytes, tenant_id: str, thread_id: str) -> str:
    """The token of a thread's link: 66 characters that every program leaves as they are."""
    return f"{thread_id}{tenant_id}{_mac(key, tenant_id, thread_id)}"


def read_preferences_token(key: bytes, token: str) -> tuple[str, str]:
    """(tenant id, thread id) of a token that this gateway wrote; ("", "") for any other. Compares in constant time."""
    if not key or not _TOKEN.match(token):
        return "", ""
    thread_id, tenant_id = token[:ID_LENGTH], token[ID_LENGTH : 2 * ID_LENGTH]
    if not same_mac(token[2 * ID_LENGTH :], _mac(key, tenant_id, thread_id)):
        return "", ""
    return tenant_id, thread_id


def _mac(key: bytes, tenant_id: str, thread_id: str) -> str:
    digest = hmac.new(key, f"{tenant_id}/{thread_id}".encode(), hashlib.sha256).digest()
    return base32(digest, MAC_LENGTH)
