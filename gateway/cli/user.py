"""`gateway user`: people who log in to the pages."""

import secrets
import sys

import click

from gateway.cli.common import Context, json_option, pass_context, show_json, show_rows, tenant_option, told, utc_now
from gateway.store.settings import LANGUAGES
from gateway.store.users import ROLES, add_user, disable_user, list_users, set_password


@click.group()
def user() -> None:
    """People who log in to the pages."""


def _password(stdin: bool) -> str:
    return sys.stdin.readline().rstrip("\r\n") if stdin else secrets.token_urlsafe(12)


@user.command("add")
@tenant_option
@click.argument("email")
@click.option("--name", default="")
@click.option("--role", type=click.Choice(ROLES), default="clerk", show_default=True)
@click.option("--language", type=click.Choice(LANGUAGES), default=None)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of making one.")
@json_option
@pass_context
def add(
    context: Context, slug: str, email: str, name: str, role: str, language: str | None, password_stdin: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Add a user; a made password is shown this once."""
    password = _password(password_stdin)
    found = context.tenant(slug)
    made = context.write(add_user, utc_now(), found.id, email, password, name=name, role=role, language=language or "")
    shown = "as given" if password_stdin else password
    if as_json:
        show_json({"tenant": found.slug, "email": made.email, "role": made.role, "password": shown})
        return
    click.echo(f"e-mail    {made.email} ({made.role} of {found.slug})")
    click.echo(f"password  {shown}")
    click.echo(f"log in at {context.config.web.public_url}")


@user.command("list")
@tenant_option
@json_option
@pass_context
def list_(context: Context, slug: str, as_json: bool) -> None:
    """List a tenant's users."""
    rows = [
        {"email": u.email, "name": u.name, "role": u.role, "language": u.language or "–"}
        for u in context.read(list_users, context.tenant(slug).id)
    ]
    show_rows(rows, as_json, empty="no users yet; add one with `gateway user add E-MAIL`")


@user.command("password")
@tenant_option
@click.argument("email")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of making one.")
@pass_context
def password(context: Context, slug: str, email: str, password_stdin: bool) -> None:
    """Give a user a new password and end their sessions."""
    chosen = _password(password_stdin)
    if not context.write(set_password, context.tenant(slug).id, email, chosen):
        raise click.ClickException(f"there is no user {email}; see `gateway user list`")
    click.echo(f"password  {'as given' if password_stdin else chosen}")


@user.command("disable")
@tenant_option
@click.argument("email")
@json_option
@pass_context
def disable(context: Context, slug: str, email: str, as_json: bool) -> None:
    """Stop a user from logging in."""
    if not context.write(disable_user, utc_now(), context.tenant(slug).id, email):
        raise click.ClickException(f"there is no user {email}; see `gateway user list`")
    told(as_json, f"disabled {email}", disabled=email)
