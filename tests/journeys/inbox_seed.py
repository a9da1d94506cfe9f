"""A tenant's inbox with realistic threads, made through the store's own functions: for the tests of pages and trace.

`seed` makes two tenants, "alfa" with mail of every kind and "beta" with one thread; both with a clerk whose password is
PASSWORD. Ids are returned by name.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Any

from gateway.demo.samples import sample_documents
from gateway.mail.status import Action, DeliveryStatus
from gateway.mail.verp import return_token
from gateway.outbound.queue import Attempt, Booked, Recipient, enqueue, report, settle, settle_suppressed
from gateway.outbound.retry import Retry
from gateway.store.database import Database, Transaction, new_id, to_ms
from gateway.store.documents import StoredDocument, put_document, put_pdf
from gateway.store.events import add_event
from gateway.store.messages import Message, add_message
from gateway.store.schema import metadata
from gateway.store.tenants import add_credential, add_tenant, hash_password
from gateway.store.threads import add_thread, open_thread, thread_of_document, touch_thread
from gateway.store.users import add_user

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
PASSWORD = "a long enough secret"
PDF = b"%PDF-1.7 not really\n%%EOF\n"
OK = DeliveryStatus(Action.RELAYED, "2.0.0", 250, "OK queued as 4Bx7Qk2", "mx.client.example")
UNKNOWN = DeliveryStatus(
    Action.FAILED,
    "5.1.1",
    550,
    "<contabil@vechi.example>: Recipient address rejected: User unknown",
    "mx.vechi.example",
    "mailbox_unknown",
)
GREY = DeliveryStatus(
    Action.DELAYED, "4.2.0", 450, "Greylisted, see http://postgrey.example/help", "mx.vest.example", "greylisted"
)
FULL = DeliveryStatus(Action.FAILED, "5.2.2", 552, "mailbox full (quota exceeded)", "mx.nord.example", "mailbox_full")
HTML = "<html><body><p style='color:navy'>Bună ziua,</p><script>alert(1)</script><img src='http://t.example/x.gif'></body></html>"
TEXT = "Bună ziua, Ana!\n\nAm emis contul de plată 2026-0117 pentru Client SRL, în valoare de 1.200,00 MDL."
REPLY_TEXT = "Bună ziua,\n\nPlata a fost efectuată astăzi, atașez ordinul.\n\nCu stimă,\nAna Rusu\nClient SRL"


@dataclass
class House:
    """What the seed made: ids by name."""

    tenant: str = ""
    other: str = ""
    threads: dict[str, str] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)


def open_house(database: Database) -> House:
    """Make the tables and seed them."""
    metadata.create_all(database.engine)
    return database.write_now(seed)


@cache
def hash_once() -> str:
    """The hash of PASSWORD, which costs a tenth of a second by design: once is enough."""
    return hash_password(PASSWORD)


def seed(tx: Transaction) -> House:
    house, known = House(), {"password_hash": hash_once()}
    alfa = add_tenant(tx, NOW, "alfa", "Alfa Consulting SRL", contact_email="office@alfa.example")
    beta = add_tenant(tx, NOW, "beta", "Beta & Fiii SRL", language="ru")
    house.tenant, house.other = alfa.id, beta.id
    add_user(tx, NOW, alfa.id, "maria@alfa.example", PASSWORD, name="Maria Ceban", **known)
    add_user(tx, NOW, alfa.id, "audit@alfa.example", PASSWORD, name="Ion Auditor", role="auditor", **known)
    add_user(tx, NOW, alfa.id, "ion@alfa.example", PASSWORD, name="Ion Munteanu", role="admin", **known)
    add_user(tx, NOW, beta.id, "olga@beta.example", PASSWORD, name="Ольга", **known)
    boss = add_user(tx, NOW, beta.id, "boss@beta.example", PASSWORD, name="Шеф", role="admin", **known)
    house.users = {"boss": boss.id}
    credential, _ = add_credential(tx, NOW, alfa.id, username="billing-1c", label="1C", secret_hash=hash_once())
    _paid(tx, house, credential.id)
    _bounced(tx, house, credential.id)
    _late_bounce(tx, house, credential.id)
    _waiting(tx, house)
    _suppressed(tx, house)
    _unknown_author(tx, house)
    _foreign(tx, house)
    return house


def send(
    tx: Transaction,
    house: House,
    name: str,
    at: datetime,
    recipients: Sequence[str],
    *,
    document: tuple[str, str, str] = ("", "", ""),
    customer: str = "",
    subject: str = "",
    amount: str = "",
    credential: str = "",
    tenant: str = "",
    thread: str = "",
    run: str = "",
) -> list[Booked]:
    """A mail that left, queued; booked for its first attempt."""
    tenant_id, now = tenant or house.tenant, to_ms(at)
    if not thread and document[1]:
        thread = thread_of_document(tx, now, tenant_id, document, subject, customer)
        body = json.dumps({"number": document[2]}).encode()
        made = StoredDocument(
            document[0], document[1], document[2], 1, "open", "ro", "MDL", "c1", customer, amount, amount, "2026-11-16",
            "2026-12-01", body, sha256(body).hexdigest(), thread,
        )  # fmt: skip
        put_document(tx, now, tenant_id, made)
    thread = thread or add_thread(tx, now, tenant_id, subject=subject, customer=customer)
    message_id = new_id()
    message = Message(
        tenant_id=tenant_id, id=message_id, thread_id=thread, direction="out", kind="document", created_at=at,
        rfc_message_id=f"{message_id}@mail.gateway.example", submitted_message_id=f"{name}@billing.example",
        author="Alfa Consulting SRL <noreply@gateway.example>", recipients=", ".join(recipients), subject=subject,
        body_text=TEXT, credential_id=credential, template="new_invoice", language="ro",
        document_type=document[0], document_id=document[1], run=run,
    )  # fmt: skip
    raw = mime(subject, TEXT, HTML)
    add_message(tx, message, raw)
    wanted = [Recipient(address, return_token(new_id().encode()[-10:])) for address in recipients]
    booked = enqueue(
        tx, now, tenant_id, message_id, thread, wanted, node="n1", due_at=now + 600_000, expires_at=now + 432_000_000
    )
    data = {"recipients": len(booked), "credential": credential, "peer": "10.0.0.7", "size": len(raw)}
    add_event(tx, now, tenant_id, "message.accepted", thread_id=thread, message_id=message_id, data=data)
    house.threads[name], house.messages[name] = thread, message_id
    house.tokens.update({made.recipient: made.token for made in booked})
    return booked


def come(
    tx: Transaction,
    house: House,
    name: str,
    at: datetime,
    thread: str,
    kind: str,
    author: str,
    subject: str,
    text: str,
    *,
    detail: Mapping[str, Any] | None = None,
    raw: bytes = b"",
    tenant: str = "",
) -> str:
    """A mail that came, kept in a thread."""
    message_id, tenant_id = new_id(), tenant or house.tenant
    message = Message(
        tenant_id=tenant_id, id=message_id, thread_id=thread, direction="in", kind=kind, created_at=at,
        rfc_message_id=f"{name}@mail.client.example", author=author, recipients="a@in.example", subject=subject,
        body_text=text, detail=detail or {},
    )  # fmt: skip
    add_message(tx, message, raw or mime(subject, text, HTML))
    house.messages[name] = message_id
    type = {"person": "reply.received", "auto_reply": "autoreply.received"}.get(kind)
    if type:
        add_event(tx, to_ms(at), tenant_id, type, thread_id=thread, message_id=message_id, data={"from": author})
    if kind == "person":
        open_thread(tx, to_ms(at), tenant_id, thread, "reply")
    else:
        touch_thread(tx, to_ms(at), tenant_id, thread)
    return message_id


def mime(subject: str, text: str, html: str, attachment: tuple[str, bytes] | None = None) -> bytes:
    """A mail with text, HTML and perhaps a file."""
    parts = [("text/plain; charset=utf-8", text.encode(), ""), ("text/html; charset=utf-8", html.encode(), "")]
    if attachment:
        parts.append(
            ("application/pdf", attachment[1], f'Content-Disposition: attachment; filename="{attachment[0]}"\r\n')
        )
    body = b"".join(
        f"--b1\r\nContent-Type: {kind}\r\n{more}\r\n".encode() + content + b"\r\n" for kind, content, more in parts
    )
    head = f"Subject: {subject}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b1\r\n\r\n".encode()
    return head + body + b"--b1--\r\n"


def attempt(status: DeliveryStatus, milliseconds: int = 140) -> Attempt:
    return Attempt(status, "dot" if status.code == 250 else "RCPT TO", "TLSv1.3 TLS_AES_256_GCM_SHA384", milliseconds)


def _paid(tx: Transaction, house: House, credential: str) -> None:
    at = NOW - timedelta(days=1, hours=3)
    document = ("invoice", "inv_117", "2026-0117")
    [ana] = send(
        tx, house, "paid", at, ["ana@client.example"], document=document, customer="Client SRL",
        subject="Cont de plată 2026-0117 de la Alfa Consulting SRL", amount="1200.00", credential=credential,
    )  # fmt: skip
    settle(tx, to_ms(at) + 900, ana, attempt(OK), Retry())
    put_pdf(tx, to_ms(at), house.tenant, ("invoice", "inv_117", "h1"), "Cont de plată 2026-0117.pdf", PDF)
    pdf = b"%PDF-1.4 payment order"
    detail = {
        "quoted": "> Am emis contul de plată 2026-0117 pentru Client SRL", "why": [], "from_unknown": False,
        "placed_by": "number", "confidence": "likely", "checked": {
            "spf": "pass", "spf_domain": "client.example", "dkim": [["client.example", "pass"]], "dmarc": "pass",
            "policy": "reject",
        },
        "attachments": [{"filename": "ordin de plată.pdf", "content_type": "application/pdf", "size": len(pdf),
                         "sha256": sha256(pdf).hexdigest()}],
    }  # fmt: skip
    out_of_office = "Sunt în concediu până pe 27 noiembrie."
    come(tx, house, "away", at + timedelta(minutes=1), house.threads["paid"], "auto_reply",
         "Ana Rusu <ana@client.example>", "Răspuns automat: Cont de plată 2026-0117", out_of_office)  # fmt: skip
    come(tx, house, "answer", at + timedelta(hours=20), house.threads["paid"], "person",
         "Ana Rusu <ana@client.example>", "Re: Cont de plată 2026-0117 de la Alfa Consulting SRL", REPLY_TEXT,
         detail=detail,
         raw=mime("Re: Cont", "x", HTML, ("ordin.pdf", pdf)))  # fmt: skip


def _bounced(tx: Transaction, house: House, credential: str) -> None:
    at = NOW - timedelta(hours=5)
    booked = send(
        tx, house, "bounced", at, ["contabil@vechi.example", "director@vechi.example"],
        document=("invoice", "inv_118", "2026-0118"), customer="Vechi & Nou SA", amount="18450.5",
        subject="Cont de plată 2026-0118 de la Alfa Consulting SRL", credential=credential,
    )  # fmt: skip
    settle(tx, to_ms(at) + 700, booked[0], attempt(UNKNOWN), Retry())
    settle(tx, to_ms(at) + 800, booked[1], attempt(OK), Retry())


def _late_bounce(tx: Transaction, house: House, credential: str) -> None:
    at = NOW - timedelta(days=2)
    [made] = send(
        tx, house, "late", at, ["facturi@nord.example"], document=("invoice", "inv_119", "2026-0119"),
        customer="Nord Logistic SRL", amount="640.00", credential=credential,
        subject="Cont de plată 2026-0119 de la Alfa Consulting SRL",
    )  # fmt: skip
    settle(tx, to_ms(at) + 700, made, attempt(OK), Retry())
    late = at + timedelta(days=1)
    text = "The following message could not be delivered:\n<facturi@nord.example>: mailbox full"
    daemon = "Mail Delivery System <mailer-daemon@nord.example>"
    report_id = come(tx, house, "report", late, house.threads["late"], "bounce", daemon,
                     "Undelivered Mail Returned to Sender", text)  # fmt: skip
    report(tx, to_ms(late), made, FULL, report_message_id=report_id, trusted=True)


def _waiting(tx: Transaction, house: House) -> None:
    at = NOW - timedelta(minutes=4)
    [made] = send(
        tx, house, "waiting", at, ["buh@vest.example"], document=("invoice", "inv_120", "2026-0120"),
        customer="ООО «Вест-Трейд»", amount="99999.99", subject="Счёт 2026-0120 от Alfa Consulting SRL",
    )  # fmt: skip
    settle(tx, to_ms(at) + 700, made, attempt(GREY), Retry())


def _suppressed(tx: Transaction, house: House) -> None:
    at = NOW - timedelta(hours=1)
    [made] = send(
        tx, house, "suppressed", at, ["contabil@vechi.example"], subject="Extras de cont", customer="Vechi & Nou SA"
    )
    settle_suppressed(tx, to_ms(at), made, "2026-11-24", "mailbox_unknown", "550 5.1.1 User unknown")


def _unknown_author(tx: Transaction, house: House) -> None:
    at = NOW - timedelta(minutes=30)
    thread = add_thread(tx, to_ms(at), house.tenant, subject="<script>alert('x')</script> Новые реквизиты", customer="")
    house.threads["hostile"] = thread
    come(tx, house, "hostile", at, thread, "person", '"Ana Rusu" <ana@cllent.example>',
         "<script>alert('x')</script> Новые реквизиты", "<img src=x onerror=alert(1)>\nПросим платить на новый счёт.",
         detail={"from_unknown": True, "quoted": "<b>quoted</b>",
                 "perhaps": [[house.threads["paid"], "Cont de plată 2026-0117 de la Alfa Consulting SRL"]],
                 "checked": {"spf": "fail", "spf_domain": "cllent.example", "dkim": [], "dmarc": "fail",
                             "policy": "reject"}})  # fmt: skip


def _foreign(tx: Transaction, house: House) -> None:
    at = NOW - timedelta(hours=2)
    [made] = send(
        tx, house, "foreign", at, ["ana@client.example"], document=("invoice", "inv_117", "2026-0117"),
        customer="Secret Customer", amount="5.00", subject="Secret of beta", tenant=house.other, run="run of beta",
    )  # fmt: skip
    settle(tx, to_ms(at) + 700, made, attempt(OK), Retry())
    body = json.dumps(dict(sample_documents(at.date())[0].document) | {"id": "only_beta"}).encode()
    only = StoredDocument(
        "invoice", "only_beta", "2026-0900", 1, "open", "ro", "MDL", "c9", "Secret Customer", "5.00", "5.00", "", "",
        body, sha256(body).hexdigest(), house.threads["foreign"],
    )  # fmt: skip
    put_document(tx, to_ms(at), house.other, only)
    put_pdf(tx, to_ms(at), house.other, ("invoice", "only_beta", "h1"), "beta.pdf", PDF)
    raw = mime("x", "x", HTML, ("beta.pdf", b"beta"))
    detail = {"attachments": [{"filename": "beta.pdf", "content_type": "x/y", "size": 4,
                               "sha256": sha256(b"beta").hexdigest()}]}  # fmt: skip
    come(tx, house, "foreign answer", at, house.threads["foreign"], "person", "Ana <ana@client.example>", "Re: Secret",
         "secret words", detail=detail, raw=raw, tenant=house.other)  # fmt: skip
