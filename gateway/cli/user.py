"""`gateway user`: people who log in to the pages."""

import secrets
import sys

import click

from gateway.cli.common import Context, json_option, pass_context, show_json, show_rows, tenant_option, told, utc_now
from gateway.store.oidc_links import unlink
from gateway.store.schema import OPERATOR
from gateway.store.second_factors import reset_factor, users_with_factor
from gateway.store.settings import LANGUAGES
from gateway.store.tenants import set_tenant
from gateway.store.users import (
    OPERATOR_WORD,
    ROLES,
    User,
    add_user,
    disable_user,
    end_logins_of,
    list_users,
    set_password,
)


@click.group()
def user() -> None:
    """People who log in to the pages."""


OF_THE_HOUSE = "the gateway"  # whose people operators are

operator_option = click.option("--operator", is_flag=True, help="Who runs the gateway: sees its pages, of no tenant.")


def _owner(context: Context, slug: str, operator: bool) -> tuple[str, str]:
    """(tenant id, whose people they are). Raises UsageError for both."""
    if operator and slug:
        raise click.UsageError("an operator belongs to no tenant; leave --tenant out")
    if operator:
        return OPERATOR, OF_THE_HOUSE
    found = context.tenant(slug)
    return found.id, found.slug


def _password(stdin: bool) -> str:
    return sys.stdin.readline().rstrip("\r\n") if stdin else secrets.token_urlsafe(12)


@user.command("add")
@tenant_option
@operator_option
@click.argument("email")
@click.option("--name", default="")
@click.option("--role", type=click.Choice(ROLES), default="clerk", show_default=True)
@click.option("--language", type=click.Choice(LANGUAGES), default=None)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of making one.")
@json_option
@pass_context
def add(
    context: Context, slug: str, operator: bool, email: str, name: str, role: str, language: str | None,
    password_stdin: bool, as_json: bool,
) -> None:  # fmt: skip
    """Add a user; a made password is shown this once."""
    password = _password(password_stdin)
    owner, of = _owner(context, slug, operator)
    made = context.write(add_user, utc_now(), owner, email, password, name=name, role=role, language=language or "")
    shown = "as given" if password_stdin else password
    if as_json:
        tenant = "" if operator else of
        show_json({"tenant": tenant, "email": made.email, "role": made.role, "password": shown})
        return
    click.echo(f"e-mail    {made.email} ({made.role} of {of})")
    click.echo(f"password  {shown}")
    click.echo(f"log in at {context.config.web.public_url}")


@user.command("list")
@tenant_option
@operator_option
@json_option
@pass_context
def list_(context: Context, slug: str, operator: bool, as_json: bool) -> None:
    """List a tenant's users, or who runs the gateway."""
    owner = _owner(context, slug, operator)[0]
    second = context.read(users_with_factor, owner)
    rows = [
        {"email": u.email, "name": u.name, "role": u.role, "language": u.language or "–", "two_steps": u.id in second}
        for u in context.read(list_users, owner)
    ]
    show_rows(rows, as_json, empty="no users yet; add one with `gateway user add E-MAIL`")


@user.command("password")
@tenant_option
@operator_option
@click.argument("email")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of making one.")
@pass_context
def password(context: Context, slug: str, operator: bool, email: str, password_stdin: bool) -> None:
    """Give a user a new password and end their sessions."""
    chosen = _password(password_stdin)
    if not context.write(set_password, utc_now(), _owner(context, slug, operator)[0], email, chosen):
        raise click.ClickException(f"there is no user {email}; see `gateway user list`")
    click.echo(f"password  {'as given' if password_stdin else chosen}")


@user.command("disable")
@tenant_option
@operator_option
@click.argument("email")
@json_option
@pass_context
def disable(context: Context, slug: str, operator: bool, email: str, as_json: bool) -> None:
    """Stop a user from logging in."""
    if not context.write(disable_user, utc_now(), _owner(context, slug, operator)[0], email):
        raise click.ClickException(f"there is no user {email}; see `gateway user list`")
    told(as_json, f"disabled {email}", disabled=email)


def _person(context: Context, tenant_id: str, email: str) -> User:
    found = next((one for one in context.read(list_users, tenant_id) if one.email == email.lower()), None)
    if found is None:
        raise click.ClickException(f"there is no user {email}; see `gateway user list`")
    return found


@user.command("logout")
@tenant_option
@operator_option
@click.argument("email")
@json_option
@pass_context
def logout(context: Context, slug: str, operator: bool, email: str, as_json: bool) -> None:
    """End every session of a user."""
    who = _person(context, _owner(context, slug, operator)[0], email)
    ended = context.write(end_logins_of, utc_now(), who, OPERATOR_WORD)
    told(as_json, f"ended {ended} sessions of {who.email}", email=who.email, ended=ended)


@user.command("unlink")
@tenant_option
@click.argument("email")
@json_option
@pass_context
def unlink_(context: Context, slug: str, email: str, as_json: bool) -> None:
    """Forget who a user is at the identity provider; a verified e-mail links them anew at the next login there."""
    who = _person(context, context.tenant(slug).id, email)
    gone = context.write(unlink, utc_now(), who, OPERATOR_WORD)
    told(as_json, f"{who.email} {'is linked no more' if gone else 'was not linked'}", email=who.email, unlinked=gone)


@user.group()
def totp() -> None:
    """The second step at the login: codes from an app (RFC 6238)."""


@totp.command("reset")
@tenant_option
@operator_option
@click.argument("email")
@json_option
@pass_context
def reset(context: Context, slug: str, operator: bool, email: str, as_json: bool) -> None:
    """Ask a user for no codes any more, who lost telephone and recovery codes; their sessions end."""
    who = _person(context, _owner(context, slug, operator)[0], email)
    had = context.write(reset_factor, utc_now(), who, OPERATOR_WORD)
    told(as_json, f"{who.email} {'logs in' if had else 'had no second step: logs in'} with the password alone",
         email=who.email, had=had)  # fmt: skip


@totp.command("demand")
@tenant_option
@click.option("--off", is_flag=True, help="Leave it to each user again.")
@json_option
@pass_context
def demand(context: Context, slug: str, off: bool, as_json: bool) -> None:
    """Demand a second step of all users of a tenant; whoever has none sets it up at the next page."""
    context.write(set_tenant, context.tenant(slug).id, options={"second_step": not off})
    told(as_json, f"{slug}: a second step is {'left to each user' if off else 'demanded of everybody'}",
         tenant=slug, demanded=not off)  # fmt: skip
