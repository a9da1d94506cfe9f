"""`gateway customer`: whom a tenant bills, in which language, at which addresses, and whether it wants reminders.

Customers are made by the documents that name them; KEY is the billing system's id with `id:` before it, or made of what
names the customer (`idno:`, `vat:`, `mail:`, `name:`). What is set here is never overwritten by a document.
"""

import click

from gateway.cli.common import (
    Context,
    json_option,
    pass_context,
    plain,
    show_json,
    show_rows,
    tenant_option,
    told,
    utc_now,
)
from gateway.store.customers import (
    ROLES,
    add_contact,
    list_contacts,
    list_customers,
    need_customer,
    put_customer,
    remove_contact,
)
from gateway.store.database import to_ms
from gateway.store.preferences import resume_customer

LANGUAGES = click.Choice(["ro", "ru", "en"])


@click.group()
def customer() -> None:
    """Customers of a tenant and their contacts."""


@customer.command("list")
@tenant_option
@click.argument("words", default="")
@click.option("--limit", default=50, show_default=True, help="How many at the most.")
@json_option
@pass_context
def list_(context: Context, slug: str, words: str, limit: int, as_json: bool) -> None:
    """List customers by name; with WORDS those whose name, key or address holds them."""
    found = context.read(list_customers, context.tenant(slug).id, words=words, limit=limit)
    show_rows([plain(one) for one in found], as_json, empty="no customers; documents make them",
              columns=("key", "name", "language", "opted_out_at"))  # fmt: skip


@customer.command("show")
@tenant_option
@click.argument("key")
@json_option
@pass_context
def show(context: Context, slug: str, key: str, as_json: bool) -> None:
    """Show the customer KEY with its contacts."""
    tenant_id = context.tenant(slug).id
    found, contacts = context.read(need_customer, tenant_id, key), context.read(list_contacts, tenant_id, key)
    if as_json:
        show_json(plain(found) | {"contacts": contacts})
        return
    for name, value in plain(found).items():
        click.echo(f"{name.replace('_', ' ') + ':':16} {value or '–'}")
    show_rows([plain(one) for one in contacts], False, empty="no contacts",
              columns=("email", "role", "name", "language", "source"))  # fmt: skip


@customer.command("set")
@tenant_option
@click.argument("key")
@click.option("--language", type=LANGUAGES, help="Mail goes in it when the document and its customer name none.")
@click.option("--no-language", is_flag=True, help="Forget the language: what documents say counts again.")
@json_option
@pass_context
def set_(context: Context, slug: str, key: str, language: str | None, no_language: bool, as_json: bool) -> None:
    """Set what the tenant itself knows of the customer KEY."""
    if bool(language) == no_language:
        raise click.UsageError("say what to set: --language ro, or --no-language")
    tenant_id = context.tenant(slug).id
    context.read(need_customer, tenant_id, key)
    made = context.write(put_customer, to_ms(utc_now()), tenant_id, key, language=language or "")
    told(as_json, f"{key}: language {made.language or 'as documents say'}", **plain(made))


@customer.command("resume")
@tenant_option
@click.argument("key")
@json_option
@pass_context
def resume(context: Context, slug: str, key: str, as_json: bool) -> None:
    """Send the customer KEY reminders, statements and renewal notices again, when it has asked for it."""
    tenant_id = context.tenant(slug).id
    context.read(need_customer, tenant_id, key)
    changed = context.write(resume_customer, to_ms(utc_now()), tenant_id, key, "gateway customer resume")
    text = f"{key} gets reminders again" if changed else f"{key} had not turned reminders off"
    told(as_json, text, customer=key, resumed=changed)


@customer.group("contact")
def contact() -> None:
    """Addresses of a customer."""


@contact.command("add")
@tenant_option
@click.argument("key")
@click.argument("email")
@click.option("--role", type=click.Choice(ROLES), default="to", show_default=True,
              help="Where it stands in mail whose document names nobody; an alternate is only suggested.")  # fmt: skip
@click.option("--name", default="", help="The person's name.")
@click.option("--language", type=LANGUAGES, help="The person's language.")
@json_option
@pass_context
def add(
    context: Context, slug: str, key: str, email: str, role: str, name: str, language: str | None, as_json: bool
) -> None:  # fmt: skip
    """Give the customer KEY an address, or change the one that it has; no document overwrites it."""
    tenant_id = context.tenant(slug).id
    made = context.write(
        add_contact, utc_now(), tenant_id, key, email, role=role, name=name, language=language or ""
    )  # fmt: skip
    told(as_json, f"{key}: {made.email} is {made.role}", customer=key, **plain(made))


@contact.command("remove")
@tenant_option
@click.argument("key")
@click.argument("email")
@json_option
@pass_context
def remove(context: Context, slug: str, key: str, email: str, as_json: bool) -> None:
    """Forget an address of the customer KEY; a document that names it brings it back."""
    tenant_id = context.tenant(slug).id
    context.read(need_customer, tenant_id, key)
    removed = context.write(remove_contact, tenant_id, key, email)
    if not removed:
        raise click.ClickException(f"{key} has no contact {email}; see `gateway customer show {key}`")
    told(as_json, f"{key}: {email} is forgotten", customer=key, email=email, removed=True)
