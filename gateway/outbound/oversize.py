"""A mail that would be too large: which files stay behind, and the links that stand for them.

Called by composition, since most servers refuse what is larger than 20 to 25 MB once it is encoded. The largest files
go first, so that as few as possible are missing; the mail says so, and the thread too. Refuses (552 5.3.4) when
customers could not reach a link: such a mail is held, and says what to set.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.mail.reply import Refused
from gateway.outbound.attachments import Attachment
from gateway.outbound.rendered import Rendered
from gateway.store.shared_files import new_token

OVERHEAD = 64 * 1024  # of header, boundaries and signature, with room to spare


@dataclass(frozen=True, slots=True)
class Linked:
    """A file that stays behind, and the link to it: `url` ends with `token`."""

    file: Attachment
    token: str
    url: str


def left_behind(rendered: Rendered, limit: int) -> tuple[Attachment, ...]:
    """The files without which the mail has at most `limit` bytes, the largest first."""
    size = OVERHEAD + 3 * len((rendered.text + rendered.html).encode())  # quoted-printable, at the most
    size += encoded(rendered.logo) if rendered.logo else 0
    size += sum(encoded(file) for file in rendered.attachments)
    found: list[Attachment] = []
    for file in sorted(rendered.attachments, key=lambda one: len(one.data), reverse=True):
        if size <= limit:
            break
        found.append(file)
        size -= encoded(file)
    return tuple(found)


def encoded(file: Attachment) -> int:
    """How many bytes a file has in a mail: base64 in lines of 76 characters (RFC 2045 §6.8)."""
    coded = -(-len(file.data) // 3) * 4
    return coded + 2 * -(-coded // 76) + 300


def link(files: Sequence[Attachment], public_url: str, limit: int) -> tuple[Linked, ...]:
    """A link for each file. Raises Refused when customers cannot reach our pages."""
    if not files:
        return ()
    if not public_url:
        names = ", ".join(f"{one.filename} ({len(one.data) / 10**6:.1f} MB)" for one in files)
        text = (
            f"with {names} the mail is larger than {limit / 10**6:.1f} MB; to send a link instead, set web.public_url "
            "to an https address that customers reach, or raise delivery.max_message"
        )
        raise Refused(552, "5.3.4", text)
    tokens = [new_token() for _ in files]
    return tuple(Linked(file, token, f"{public_url}/f/{token}") for file, token in zip(files, tokens, strict=True))
