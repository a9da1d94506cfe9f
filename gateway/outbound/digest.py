"""What a mail says to whom, as one hash: by it an idempotency key tells the same mail from another one.

Called by `submission` for a mail that has a key.
"""

import hashlib

from gateway.mail.message import Head, decode, walk
from gateway.outbound.handed import Handed


def digest_of(handed: Handed, head: Head) -> str:
    """The hash of what a mail says to whom; not of its date, its ids and its boundaries, which differ every time."""
    found = hashlib.sha256()
    for rcpt in sorted(rcpt.address.key for rcpt in handed.recipients):
        found.update(rcpt.encode() + b"\n")
    for item in head.fields:
        if item.name in (b"from", b"to", b"cc", b"subject") or item.name.startswith(b"x-ar-"):
            found.update(item.name + b":" + b" ".join(item.value.split()) + b"\n")
    for part in walk(handed.raw):
        if not part.content_type.startswith("multipart/"):
            found.update(f"{part.content_type} {part.filename}\n".encode("utf-8", "replace") + decode(handed.raw, part))
    return found.hexdigest()
