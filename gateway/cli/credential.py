"""`gateway credential`: by what billing systems are a tenant."""

import sys

import click

from gateway.cli.common import Context, json_option, pass_context, show_json, show_rows, tenant_option, told, utc_now
from gateway.outbound.limits import set_limits
from gateway.store.settings import CREDENTIAL_LIMITS, PER_DAY, PER_HOUR
from gateway.store.tenants import add_credential, list_credentials, revoke_credential


@click.group()
def credential() -> None:
    """Logins and networks of billing systems."""


@credential.command("add")
@tenant_option
@click.option("--username", default="", help="Chosen for you when left out.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of making one.")
@click.option("--network", "networks", multiple=True, help="A network (CIDR) that is this tenant without a login.")
@click.option("--label", default="", help="What it is for.")
@json_option
@pass_context
def add(
    context: Context, slug: str, username: str, password_stdin: bool, networks: tuple[str, ...], label: str,
    as_json: bool,
) -> None:  # fmt: skip
    """Add a credential; its password is shown this once."""
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else ""
    if password_stdin and len(password) < 10:
        raise click.UsageError("the password on standard input is shorter than 10 characters")
    found = context.tenant(slug)
    made, password = context.write(
        add_credential, utc_now(), found.id, username=username, password=password, networks=networks, label=label
    )
    if as_json:
        show_json({"tenant": found.slug, "username": made.username, "password": password, "networks": networks})
        return
    click.echo(f"username  {made.username}")
    if networks:
        click.echo(f"networks  {', '.join(networks)} (no login needed from there)")
    elif password_stdin:
        click.echo("password  as given")
    else:
        click.echo(f"password  {password}")
        click.echo("The password is shown this once; it is kept as a hash.")


@credential.command("list")
@tenant_option
@json_option
@pass_context
def list_(context: Context, slug: str, as_json: bool) -> None:
    """List a tenant's credentials, and how many messages each may hand over."""
    found = context.tenant(slug)
    limits = found.options.get(CREDENTIAL_LIMITS, {})
    rows = [
        {
            "username": c.username,
            "label": c.label,
            "networks": list(c.networks),
            "per_hour": limits.get(c.username, {}).get(PER_HOUR),
            "per_day": limits.get(c.username, {}).get(PER_DAY),
            "created_at": c.created_at,
            "revoked_at": c.revoked_at,
        }
        for c in context.read(list_credentials, found.id)
    ]
    show_rows(rows, as_json, empty="no credentials yet; add one with `gateway credential add`")


@credential.command("limit")
@tenant_option
@click.argument("username")
@click.option("--per-hour", type=click.IntRange(0), default=None, help="Most messages in an hour; 0: any number.")
@click.option("--per-day", type=click.IntRange(0), default=None, help="Most messages in a day of the tenant's; 0: any.")
@json_option
@pass_context
def limit(context: Context, slug: str, username: str, per_hour: int | None, per_day: int | None, as_json: bool) -> None:
    """Limit how many messages a credential may hand over; what it did today counts at once."""
    if per_hour is None and per_day is None:
        raise click.UsageError("say --per-hour, --per-day or both")
    context.write(set_limits, utc_now(), context.tenant(slug).id, username, per_hour, per_day)
    given = (("an hour", per_hour), ("a day", per_day))
    words = " and ".join(f"{most or 'any number'} {per}" for per, most in given if most is not None)
    told(as_json, f"{username} may hand over {words}", username=username, per_hour=per_hour, per_day=per_day)


@credential.command("revoke")
@tenant_option
@click.argument("username")
@json_option
@pass_context
def revoke(context: Context, slug: str, username: str, as_json: bool) -> None:
    """End a credential; the gateway notices within seconds."""
    if not context.write(revoke_credential, utc_now(), context.tenant(slug).id, username):
        raise click.ClickException(f"there is no credential {username!r}; see `gateway credential list`")
    told(as_json, f"revoked {username}", revoked=username)
