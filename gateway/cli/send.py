"""`gateway send`: hand a document or a composed mail over from the command line, through the same door as SMTP."""

import asyncio
import base64
import sys
from email.parser import BytesHeaderParser
from email.utils import getaddresses
from pathlib import Path

import click

from gateway.cli.common import Context, json_option, pass_context, show_json, tenant_option, utc_now
from gateway.mail.address import parse_address
from gateway.mail.header import address_list
from gateway.mail.header_mailboxes import Mailbox
from gateway.outbound.desk import Desks
from gateway.outbound.einvoice import recognise
from gateway.outbound.handed import Handed, Receipt, parse_recipients
from gateway.outbound.letterhead import Letterhead
from gateway.outbound.retry import Retry
from gateway.outbound.submission import Door, accept
from gateway.store.schema import OPERATOR
from gateway.store.sealed import read_secret

_HEAD = b"From: gateway send <cli@localhost>\r\nContent-Transfer-Encoding: base64\r\nContent-Type: "
HEADS = {
    "json": _HEAD + b"application/vnd.ar-gateway.document+json\r\n\r\n",
    "xml": _HEAD + b"application/xml\r\n\r\n",
    "pdf": _HEAD + b"application/pdf\r\n\r\n",
}


@click.command()
@tenant_option
@click.option("--to", "recipients", multiple=True, help="A recipient; left out: those in the document or the header.")
@json_option
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@pass_context
def send(context: Context, slug: str, recipients: tuple[str, ...], as_json: bool, files: tuple[str, ...]) -> None:
    """Send FILES: documents (JSON, UBL, CII, a PDF with one inside) or composed mails (.eml); "-" is standard input."""
    tenant = context.tenant(slug)
    receipts = []
    for name in files:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        handed = _hand(context, tenant.id, data, recipients)
        receipt = asyncio.run(accept(open_door(context), handed, utc_now()))
        receipts.append(
            {"file": name, "message": receipt.message_id, "thread": receipt.thread_id, "text": receipt.text}
        )
        if not as_json:
            click.echo(f"{name}: {_told(receipt)}")
    if as_json:
        show_json(receipts)


def _told(receipt: Receipt) -> str:
    return f"{receipt.text}; follow it with: gateway trace {receipt.message_id}"


def _hand(context: Context, tenant_id: str, data: bytes, recipients: tuple[str, ...]) -> Handed:
    kind = recognise(data)
    if kind:
        named = recipients or (f"send@{context.config.inbox_domain}",)
        rcpts = parse_recipients(named)
        head = address_list("To", [Mailbox("", rcpt.address) for rcpt in rcpts]) if recipients else b""
        return Handed(tenant_id, "cli", rcpts, head + HEADS[kind] + base64.encodebytes(data).replace(b"\n", b"\r\n"))
    raw = (
        data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    )  # a file has the system's line ends
    named = recipients or _header_recipients(raw)
    if not named:
        raise click.UsageError("the mail names no recipients in To, Cc or Bcc; name them with --to")
    return Handed(tenant_id, "cli", parse_recipients(named), raw)


def _header_recipients(raw: bytes) -> tuple[str, ...]:
    head = BytesHeaderParser().parsebytes(raw[: 100 * 1024])
    found = getaddresses([str(v) for name in ("To", "Cc", "Bcc") for v in head.get_all(name, [])])
    return tuple(dict.fromkeys(address for _, address in found if address))


def letterhead_of(context: Context) -> Letterhead:
    """The gateway's names, as `serve` knows them."""
    config = context.config
    return Letterhead(
        config.hostname,
        parse_address(config.shared_address),
        config.return_domain.lower(),
        config.inbox_domain.lower(),
        context.read(read_secret, context.seal, OPERATOR, "reply-key"),
    )


def open_door(context: Context) -> Door:
    """The door of a command: it only commits, and a serving gateway sends."""
    config, seal = context.config, context.seal
    letterhead = letterhead_of(context)
    retry = Retry(expire=config.delivery.expire_seconds)
    desks = Desks(context.database, seal, letterhead.shared, relayed=bool(config.delivery.relay))
    # no node: a serving gateway claims it, this process only commits
    return Door(
        context.database, desks, letterhead, retry, "", config.delivery.lease_seconds * 1000,
        most_bytes=config.delivery.max_message,
    )  # fmt: skip
