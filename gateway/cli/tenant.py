"""`gateway tenant`: the companies that send through this gateway."""

from typing import Any, BinaryIO

import click

from gateway.cli.common import Context, json_option, pass_context, plain, show_json, show_rows, told, utc_now
from gateway.cli.tenant_retry import retry
from gateway.cli.tenant_smtp import smtp
from gateway.cli.tenant_usage import usage
from gateway.mail.address import parse_address
from gateway.outbound.desk import Desks
from gateway.outbound.einvoice.facturx import FACTUR_X
from gateway.outbound.limits import set_limits
from gateway.outbound.numbers import find_number
from gateway.outbound.queue_list import count_states
from gateway.store.assets import MAX_BYTES, put_logo, remove_logo
from gateway.store.database import to_ms
from gateway.store.routes import get_server
from gateway.store.settings import LANGUAGES, SENDING
from gateway.store.tenants import (
    Tenant,
    add_identity,
    add_tenant,
    list_identities,
    list_tenants,
    remove_identity,
    set_tenant,
)


@click.group()
def tenant() -> None:
    """Companies that send through this gateway."""


tenant.add_command(smtp)
tenant.add_command(usage)
tenant.add_command(retry)


def _brand(**values: str) -> dict[str, str]:
    return {key: value for key, value in values.items() if value}


@tenant.command("add")
@click.argument("slug")
@click.option("--company", required=True, help="The company's name, as customers see it.")
@click.option("--language", type=click.Choice(LANGUAGES), default="ro", show_default=True)
@click.option("--timezone", default="Europe/Chisinau", show_default=True)
@click.option("--contact", "contact_email", default="", help="The company's contact address, shown in its mails.")
@click.option("--colour", default="", help="Its colour, #rrggbb.")
@click.option("--phone", default="")
@click.option("--address", default="", help="Its postal address, on one line.")
@click.option("--idno", default="", help="Its registration number.")
@click.option("--vat", default="", help="Its VAT number.")
@click.option("--country", default="", help="Its country, two capitals (ISO 3166); e-invoices want it.")
@json_option
@pass_context
def add(
    context: Context, slug: str, company: str, language: str, timezone: str, contact_email: str, colour: str,
    phone: str, address: str, idno: str, vat: str, country: str, as_json: bool,
) -> None:  # fmt: skip
    """Add a tenant; SLUG is its name in addresses and commands."""
    brand = _brand(colour=colour, phone=phone, address=address, idno=idno, vat=vat, country=country)
    made = context.write(
        add_tenant, utc_now(), slug, company, language=language, timezone=timezone, contact_email=contact_email,
        brand=brand,
    )  # fmt: skip
    if as_json:
        show_json(made)
        return
    click.echo(
        f"added {made.slug} ({made.company}); its A/R inbox address is {made.slug}@{context.config.inbox_domain}"
    )
    click.echo(f"next: gateway credential add --tenant {made.slug}")


@tenant.command("list")
@json_option
@pass_context
def list_(context: Context, as_json: bool) -> None:
    """List the tenants."""
    found = context.read(list_tenants)
    rows = [
        {
            "tenant": t.slug,
            "company": t.company,
            "language": t.language,
            "timezone": t.timezone,
            "sends_as": "its own addresses" if t.sending == "own" else context.config.shared_address,
            "suspended": t.suspended,
            "id": t.id,
        }
        for t in found
    ]
    show_rows(rows, as_json, empty="no tenants yet; add one with `gateway tenant add SLUG --company NAME`")


@tenant.command("show")
@click.argument("slug")
@json_option
@pass_context
def show(context: Context, slug: str, as_json: bool) -> None:
    """Show a tenant's settings, authors and how many deliveries it has in each state."""
    found = context.tenant(slug)
    facts = plain(found) | {
        "inbox_address": f"{found.slug}@{context.config.inbox_domain}",
        "identities": context.read(list_identities, found.id),
        "deliveries": context.read(count_states, found.id),
        "smtp": _of_server(context, found),
        "author": _author_of(context, found),
    }
    if as_json:
        show_json(facts)
        return
    for key, value in facts.items():
        click.echo(f"{key.replace('_', ' ') + ':':16} {value if value not in ('', [], {}) else '–'}")


def _author_of(context: Context, found: Tenant) -> str:
    """Whom its mail comes from now, and why not from its own address when it wants that."""
    shared = parse_address(context.config.shared_address)
    desks = Desks(context.database, context.seal, shared, relayed=bool(context.config.delivery.relay))
    desk = context.read(desks.read, found.id)
    if desk is None or not desk.unaligned or desk.own_server:
        return str(desk.author if desk else shared)
    names = ", ".join(sorted(desk.unaligned))
    return f"{desk.author} (nobody could check the signature of {names}: see gateway domain check)"


def _of_server(context: Context, found: Tenant) -> str:
    kept = context.read(get_server, found.id)
    if kept is None:
        return ""
    state = {"ok": "works", "failed": f"FAILS: {kept.words}"}.get(kept.state, "not tried yet")
    return f"{kept.server.host}:{kept.server.port}, {'in use' if found.sending == 'own' else 'not in use'}, {state}"


@tenant.command("set")
@click.argument("slug")
@click.option("--company", default=None)
@click.option("--language", type=click.Choice(LANGUAGES), default=None)
@click.option("--timezone", default=None)
@click.option("--contact", "contact_email", default=None)
@click.option(
    "--sending", type=click.Choice(SENDING), default=None, help="shared: the gateway's address; own: its own."
)
@click.option("--suspend/--resume", default=None, help="Refuse its mail, or take it again.")
@click.option("--colour", default="")
@click.option("--phone", default="")
@click.option("--address", default="")
@click.option("--idno", default="")
@click.option("--vat", default="")
@click.option("--country", default="")
@click.option(
    "--einvoice", type=click.Choice((FACTUR_X, "none")), default=None,
    help="factur-x: PDFs of invoices and credit notes carry them as XML (EN 16931).",
)  # fmt: skip
@click.option(
    "--reply-signature", type=click.Choice(("on", "off")), default=None,
    help="Whether clerks' answers end with their name, the company and how to reach it.",
)  # fmt: skip
@click.option("--reminder-hour", type=int, default=None, help="When its reminders go, 0 to 23 in its zone (else 9).")
@click.option("--per-hour", type=click.IntRange(0), default=None, help="Most messages in an hour; 0: any number.")
@click.option("--per-day", type=click.IntRange(0), default=None, help="Most messages in a day of its zone; 0: any.")
@click.option(
    "--number-pattern", "patterns", multiple=True,
    help="How its numbers look in subjects and file names, in place of our words: CP-####-####, or credit_note: CN-#*.",
)  # fmt: skip
@click.option("--no-number-patterns", "no_patterns", is_flag=True, help="Find numbers by our own words again.")
@json_option
@pass_context
def set_(
    context: Context, /, slug: str, suspend: bool | None, colour: str, phone: str, address: str, idno: str,
    vat: str, country: str, einvoice: str | None, reminder_hour: int | None, patterns: tuple[str, ...],
    no_patterns: bool, reply_signature: str | None, per_hour: int | None, per_day: int | None,
    as_json: bool, **changes: str | None,
) -> None:  # fmt: skip
    """Change a tenant's settings; they hold from its next message on."""
    values: dict[str, Any] = {key: value for key, value in changes.items() if value is not None}
    if suspend is not None:
        values["suspended_at"] = utc_now() if suspend else None
    if brand := _brand(colour=colour, phone=phone, address=address, idno=idno, vat=vat, country=country):
        values["brand"] = brand
    if einvoice is not None:
        values["options"] = {"einvoice": einvoice if einvoice == FACTUR_X else None}
    if reply_signature is not None:
        values["options"] = {**values.get("options", {}), "reply_signature": None if reply_signature == "on" else "off"}
    if reminder_hour is not None:
        values["options"] = {**values.get("options", {}), "reminder_hour": reminder_hour}
    if patterns or no_patterns:
        values["options"] = {**values.get("options", {}), "number_patterns": list(patterns)}
    limits = [name for name, most in (("per_hour", per_hour), ("per_day", per_day)) if most is not None]
    if not values and not limits:
        raise click.UsageError("say what to change; see --help")
    context.write(set_tenant, context.tenant(slug).id, **values)
    if limits:
        context.write(set_limits, utc_now(), context.tenant(slug).id, "", per_hour, per_day)
    author = _author_of(context, context.tenant(slug)) if "sending" in values else ""
    changed = sorted([*values, *limits])
    told(as_json, f"changed {slug}{author and f'; its author is {author}'}", tenant=slug, changed=changed)


@tenant.command("logo")
@click.argument("slug")
@click.argument("file", required=False, type=click.File("rb"))
@click.option("--remove", is_flag=True, help="Use the company's name in its place again.")
@json_option
@pass_context
def logo(context: Context, slug: str, file: BinaryIO | None, remove: bool, as_json: bool) -> None:
    """Show FILE (PNG or JPEG, it stands on white) in a tenant's mails and PDFs, from its next message on."""
    if remove == (file is not None):
        raise click.UsageError("name a picture, or say --remove")
    found = context.tenant(slug)
    if file is None:
        gone = context.write(remove_logo, found.id)
        text = f"{slug} has no logo any more" if gone else f"{slug} had no logo"
        told(as_json, text, tenant=slug, removed=gone)
        return
    width, height = context.write(put_logo, to_ms(utc_now()), found.id, file.read(MAX_BYTES + 1))
    text = f"{slug} has a logo of {width} × {height} pixels, from its next message on"
    told(as_json, text, tenant=slug, width=width, height=height)


@tenant.command("numbers")
@click.argument("slug")
@click.argument("subject")
@click.option("--file", "names", multiple=True, help="The name of an attached file; may stand several times.")
@json_option
@pass_context
def numbers(context: Context, slug: str, subject: str, names: tuple[str, ...], as_json: bool) -> None:
    """Show which document a mail with SUBJECT would be about, and why: what the gateway finds by itself."""
    masks = tuple(context.tenant(slug).options.get("number_patterns", ()))
    found = find_number(subject, names, masks)
    if as_json:
        show_json({"subject": subject, "files": list(names), "patterns": list(masks), "found": found})
        return
    looked = f"its own patterns ({', '.join(masks)})" if masks else "our words for documents, in ro, ru and en"
    if found is None:
        click.echo(f"no document: nothing there fits {looked}")
        return
    click.echo(f"{found.type} {found.number}: {found.why}")


@tenant.command("identity")
@click.argument("slug")
@click.argument("address")
@click.option("--remove", is_flag=True, help="Forbid it instead.")
@json_option
@pass_context
def identity(context: Context, slug: str, address: str, remove: bool, as_json: bool) -> None:
    """Allow a tenant to send as ADDRESS (used when `sending` is own)."""
    found = context.tenant(slug)
    if remove:
        gone = context.write(remove_identity, found.id, address)
        text = f"{address} is no author of {slug} any more" if gone else f"{address} was no author of {slug}"
        told(as_json, text, tenant=slug, removed=address if gone else "")
        return
    context.write(add_identity, utc_now(), found.id, address)
    text = f"{slug} may send as {address}; it does with: gateway tenant set {slug} --sending own"
    told(as_json, text, tenant=slug, added=address)
