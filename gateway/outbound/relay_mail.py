"""A mail that a billing system composed: into the tenant's frame, signed, its parts byte for byte.

Called by the door. Refuses an author that is not the tenant's, and what branding refuses. Pure but for the given ids.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from gateway.mail.address import Address
from gateway.mail.message import Head, Part, decode_text
from gateway.mail.reply import Refused
from gateway.outbound.branding import Needs, brand, needs, read_author
from gateway.outbound.control import Control
from gateway.outbound.desk import Desk
from gateway.outbound.letterhead import Letterhead
from gateway.store.messages import EIGHT_BIT, OWN_SERVER, SMTPUTF8, Message

EXCERPT = 4000  # characters of a relayed message's text that the inbox shows


@dataclass(frozen=True, slots=True)
class Relayed:
    """A composed mail, ready to be queued."""

    message: Message
    raw: bytes


def frame_relay(
    letterhead: Letterhead,
    desk: Desk,
    raw: bytes,
    head: Head,
    control: Control,
    ids: tuple[str, str],
    recipients: tuple[Address, ...],
    credential: str,
    now: datetime,
    *,
    parts: Sequence[Part] = (),
    smtputf8: bool = False,
) -> Relayed:
    """Frame and sign a mail; `ids` are those of its message and thread, `parts` are its own."""
    author = check_author(desk, head)
    message_id, thread_id = ids
    template = control.template if control.template not in ("", "none") else "relay"
    frame = letterhead.frame(
        desk.tenant, author, message_id, thread_id, now, template=template, language=control.language
    )
    framed = brand(raw, head, frame)
    signer = desk.signer_of(author)
    signed = signer.sign(framed, now) if signer else framed
    made = _received(letterhead, message_id, now) + signed
    named = _message(desk, control, head, ids, author, credential, now)
    return Relayed(
        replace(
            named,
            rfc_message_id=frame.message_id,
            body_text=_excerpt(raw, parts),
            size=len(made),
            flags=_flags(needs(framed), recipients, smtputf8) | OWN_SERVER * desk.own_server,
        ),
        made,
    )


def _message(
    desk: Desk, control: Control, head: Head, ids: tuple[str, str], author: Address, credential: str, now: datetime
) -> Message:
    return Message(
        tenant_id=desk.tenant.id,
        id=ids[0],
        thread_id=ids[1],
        direction="out",
        kind="relay",
        created_at=now,
        submitted_message_id=head.text("message-id").strip().strip("<>"),
        author=f"{desk.tenant.company} <{author}>",
        recipients=", ".join(head.texts("to") + head.texts("cc")),
        subject=head.text("subject"),
        template=control.template,
        language=control.language,
        detail=control.remembered(),
        document_type=control.document_type,
        document_id=control.document_id,
        credential_id=credential,
        run=control.run,
    )


def check_author(desk: Desk, head: Head) -> Address:
    """Whom the mail comes from: the shared address, or the identity that the message names (S8, S12), if it aligns."""
    named = read_author(head).address
    if desk.tenant.sending != "own":
        return desk.author
    if named.key not in desk.identities:
        allowed = ", ".join(desk.identities) or "none yet; add one with `gateway tenant identity`"
        raise Refused(
            550, "5.7.1", f"author <{named}> is not an identity of tenant {desk.tenant.slug} (allowed: {allowed})"
        )
    return desk.speaks_as(named)


def _flags(wants: Needs, recipients: tuple[Address, ...], smtputf8: bool) -> int:
    utf8 = wants.smtputf8 or any(not address.ascii for address in recipients)
    return SMTPUTF8 * utf8 | EIGHT_BIT * wants.eightbit


def _received(letterhead: Letterhead, message_id: str, now: datetime) -> bytes:
    """Our trace field (RFC 5321 §4.4); the submitter's own host stays private."""
    stamp = now.strftime("%a, %d %b %Y %H:%M:%S +0000")
    return f"Received: by {letterhead.hostname} (A/R mail gateway) id {message_id};\r\n\t{stamp}\r\n".encode()


def _excerpt(raw: bytes, parts: Sequence[Part]) -> str:
    """The first words of the text, for the inbox; a message that cannot be read has none."""
    for part in parts:
        if part.content_type == "text/plain" and part.disposition != "attachment":
            return decode_text(raw, part, limit=EXCERPT)
    return ""
